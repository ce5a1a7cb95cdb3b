import type { Audit } from '../../actions/audit.ts'
import { auditExit, type Finding, isUnseen } from '../../audit/finding.ts'
import { type Subject, subjectTitle } from '../../audit/subject.ts'

/** When an audit began and ended, and how it ended. */
export interface Ran {
  readonly startedMs: number
  readonly endedMs: number
}

interface Case {
  readonly title: string
  readonly result: 'passed' | 'failure' | 'error'
  readonly findings: readonly Finding[]
}

/**
 * The audit as JUnit XML, as Jenkins, GitLab and others read it: a suite for each server, and for each site or certificate
 * what belongs to no single server; a case for each thing that was looked at. What could not be looked at is an error, a
 * notice is output of a passed case.
 */
export function junitOf(
  { subjects, findings }: Pick<Audit, 'subjects' | 'findings'>,
  { startedMs, endedMs }: Ran,
): string {
  const suites = Map.groupBy(subjects, ({ server, site, certificate }) => server ?? site ?? certificate)
  const cases = [...suites].map(([name, own]) => ({ name, cases: own.flatMap(casesOf) }))
  const time = ((endedMs - startedMs) / 1_000).toFixed(3)
  const all = cases.flatMap((suite) => suite.cases)
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name: 'onecert audit', time, ...counts(all) })}>`,
    ...cases.flatMap((suite) => [
      `  <testsuite ${attributes({ name: suite.name, timestamp: new Date(startedMs).toISOString().slice(0, 19), ...counts(suite.cases) })}>`,
      ...suite.cases.flatMap((each) => caseLines(each, suite.name)),
      '  </testsuite>',
    ]),
    `  <!-- exit status ${auditExit(findings)} -->`,
    '</testsuites>',
  ]
  return `${lines.join('\n')}\n`
}

function counts(cases: readonly Case[]): Record<string, number> {
  const count = (result: Case['result']) => cases.filter((each) => each.result === result).length
  return { tests: cases.length, failures: count('failure'), errors: count('error') }
}

/** Readers show one failure of a case: where several things are wrong, each but the first has a case of its own. */
function casesOf(subject: Subject): Case[] {
  const title = subjectTitle(subject)
  const notices = subject.findings.filter(({ severity }) => severity === 'notice')
  const wrong = subject.findings.filter(({ severity }) => severity !== 'notice')
  if (wrong.length === 0) return [{ title, result: 'passed', findings: notices }]
  return wrong.map((finding, at) => ({
    title: at === 0 ? title : `${title}: ${[finding.reason, finding.place].filter(Boolean).join(' ')}`,
    result: isUnseen(finding) ? 'error' : 'failure',
    findings: at === 0 ? [finding, ...notices] : [finding],
  }))
}

function caseLines({ title, result, findings }: Case, classname: string): string[] {
  const open = `    <testcase ${attributes({ classname, name: title })}`
  if (findings.length === 0) return [`${open}/>`]
  const lines = findings.map((finding) => {
    if (finding.severity === 'notice') return `      <system-out>${xmlText(findingText(finding))}</system-out>`
    const { reason: type, what: message } = finding
    return `      <${result} ${attributes({ type, message })}>${xmlText(findingText(finding))}</${result}>`
  })
  return [`${open}>`, ...lines, '    </testcase>']
}

/** All that is known of a finding, a line for each. */
function findingText(finding: Finding): string {
  const { severity, reason, what, place, expected, disk, served, repair } = finding
  const facts = { place, expected, 'on disk': disk, served, next: repair }
  const known = Object.entries(facts).flatMap(([name, fact]) => (fact === null ? [] : `${name}: ${fact}`))
  return [`${severity} ${reason}: ${what}`, ...known].join('\n')
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${xmlText(String(value)).replaceAll('\n', '&#10;').replaceAll('\t', '&#9;')}"`)
    .join(' ')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
}

/** XML 1.0 section 2.2 has no way to say most control characters, half surrogates, U+FFFE and U+FFFF: they are named. */
function xmlText(text: string): string {
  return text
    .replace(/[&<>"\r]/g, (sign) => entities[sign] ?? sign)
    .replace(
      /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|\p{Cs}/gu,
      (sign) => `\\x${(sign.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
    )
}
