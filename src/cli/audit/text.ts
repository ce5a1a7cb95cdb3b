import type { Audit } from '../../actions/audit.ts'
import { type Finding, isUnseen, type Severity } from '../../audit/finding.ts'
import { isMendedByApply } from '../../audit/repair.ts'
import { quote } from '../../base/errors.ts'
import { counted } from '../../pki/text.ts'
import type { Terminal } from '../terminal.ts'

/** What the look of a text depends on. */
export type Look = Pick<Terminal, 'isTTY' | 'columns' | 'style'>

export const severityStyles: Record<Severity, 'red' | 'yellow' | 'dim'> = {
  critical: 'red',
  warning: 'yellow',
  notice: 'dim',
}
/** A longer list tells nobody more. */
const namesShownMax = 40

/** For a tired person: the verdict, then what is wrong, the worst first; what is the same at many servers is said once. */
export function auditLines({ findings, subjects, looked }: Audit, look: Look): string[] {
  const groups = groupsOf(findings)
  // A copy of a key may lie on a server that left the fleet file.
  const all = new Set([...subjects, ...findings].flatMap(({ server }) => server ?? []))
  const wrong = new Set(findings.flatMap(({ server, severity }) => (severity === 'notice' ? [] : (server ?? []))))
  const where = wrong.size > 0 ? ` on ${wrong.size} of ${counted(all.size, 'server')}` : ''
  const verdict = look.style([verdictStyle(findings), 'bold'], verdictText(findings))
  const mended = findings.filter(isMendedByApply).length
  const fix = `next: ${look.style('bold', 'onecert audit --fix')}   (repairs ${mended} of ${findings.length}; it shows what, and asks)`
  return [
    ...(groups.length > 1 ? [`${verdict}${where}`, ''] : []),
    ...groups.flatMap((group) => [...groupLines(group, look), '']),
    `${verdict}: ${lookedText(looked)}`,
    ...(mended > 0 && groups.length > 1 ? [fix] : []),
  ]
}

/** `2 critical, 1 warning`; `nothing wrong` also where there are notices. */
export function verdictText(findings: readonly Finding[]): string {
  const seen = findings.filter((each) => !isUnseen(each))
  const count = (severity: Severity) => seen.filter((each) => each.severity === severity).length
  const [critical, warnings, notices] = [count('critical'), count('warning'), count('notice')]
  const unseen = findings.length - seen.length
  return [
    ...(critical > 0 ? [`${critical} critical`] : []),
    ...(warnings > 0 ? [counted(warnings, 'warning')] : []),
    ...(unseen > 0 ? [`${unseen} could not be looked at`] : []),
    ...(critical + warnings === 0 ? [unseen > 0 ? 'nothing else wrong' : 'nothing wrong'] : []),
    ...(notices > 0 ? [counted(notices, 'notice')] : []),
  ].join(', ')
}

export function verdictStyle(findings: readonly Finding[]): 'red' | 'yellow' | 'green' {
  if (findings.some(({ severity }) => severity === 'critical')) return 'red'
  return findings.some(({ severity }) => severity === 'warning') ? 'yellow' : 'green'
}

export function lookedText({ endpoints, handshakes, disks, upstreams }: Audit['looked']): string {
  const behind = upstreams > 0 ? `, ${counted(upstreams, 'upstream')}` : ''
  return `looked at ${counted(endpoints, 'endpoint')} (${counted(handshakes, 'handshake')}), the files of ${counted(disks, 'server')}${behind}`
}

/** Each finding with its facts and its repair; those that differ in nothing but where they are together. */
export function findingLines(findings: readonly Finding[], look: Look): string[] {
  return groupsOf(findings).flatMap((group) => groupLines(group, look))
}

/** The same in everything but where it is. */
type Group = readonly [Finding, ...Finding[]]

function groupsOf(findings: readonly Finding[]): Group[] {
  const same = Map.groupBy(findings, (each) =>
    JSON.stringify([
      ...[each.severity, each.reason, each.certificate, each.expected, each.disk, each.served],
      ...[pattern(each.what, each, each.place), pattern(each.repair, each, each.place)],
    ]),
  )
  return [...same.values()].flatMap(([first, ...others]) => (first ? [[first, ...others]] : []))
}

/** The text without what differs from server to server. */
function pattern(text: string, { server }: Finding, place: string | null): string {
  const placed = place === null ? text : text.replaceAll(place, 'PLACE')
  return placed.replaceAll(/[\w.-]+/g, (word) => (word === server ? 'SERVER' : word))
}

/** The text of all of them, if they have one. */
function common(group: Group, text: 'what' | 'repair'): string {
  const [first] = group
  if (group.every((each) => each[text] === first[text])) return first[text]
  const samePlace = group.every(({ place }) => place === first.place)
  return pattern(first[text], first, samePlace ? null : first.place)
}

/** A command takes all their names. */
function repairOf(group: Group): string {
  return common(group, 'repair').replaceAll('--server SERVER', `--server ${serversOf(group).join(' ')}`)
}

function serversOf(group: Group): string[] {
  return [...new Set(group.flatMap(({ server }) => server ?? []))]
}

function groupLines(group: Group, look: Look): string[] {
  const [first] = group
  const servers = serversOf(group)
  const where = servers.length > 1 ? `${servers.length} servers` : (first.server ?? first.certificate)
  const [place, ...places] = [...new Set(group.map((each) => each.place))]
  const label = isUnseen(first) ? 'not seen' : first.severity.padEnd(8)
  const head = [look.style([severityStyles[first.severity], 'bold'], label), where, look.style('bold', first.reason)]
  const at = places.length === 0 && place != null ? inert(place) : null
  const fits = !look.isTTY || `${label}  ${where}  ${first.reason}  ${at ?? ''}`.length <= look.columns
  const facts = (['expected', 'disk', 'served'] as const).flatMap((kind) => {
    const fact = first[kind]
    return fact === null ? [] : [`${kind === 'disk' ? 'on disk' : kind} ${inert(fact)}`]
  })
  return [
    [...head, ...(at !== null && fits ? [at] : [])].join('  '),
    ...(at !== null && !fits ? [`  ${at}`] : []),
    ...wrapped(inert(common(group, 'what')).split(' '), ' ', look),
    ...wrapped(facts, ' · ', look),
    ...wrapped(shortened(listOf(group, places.length > 0)), ', ', look),
    `  next: ${inert(repairOf(group))}`,
  ]
}

const isPath = (place: string | null) => place !== null && (place.startsWith('/') || place.startsWith('gen-'))

/** Where it is, if that is not in the head: servers, with their paths; for one server, or none, its places. */
function listOf(group: Group, differ: boolean): string[] {
  const servers = serversOf(group)
  const withPlaces = differ && (servers.length <= 1 || group.some(({ place }) => isPath(place)))
  const list = withPlaces
    ? group.map(({ server, place }) => [servers.length > 1 ? server : null, place].filter(Boolean).join(' '))
    : servers.length > 1
      ? servers
      : []
  return [...new Set(list)].map(inert)
}

function shortened(names: readonly string[]): string[] {
  if (names.length <= namesShownMax) return [...names]
  return [...names.slice(0, namesShownMax), `and ${names.length - namesShownMax} more: onecert audit --json`]
}

/** Indented lines as wide as the terminal; one line for a pipe, so that it can be searched. */
function wrapped(words: readonly string[], between: string, look: Look): string[] {
  const { isTTY, columns } = look
  const lines: string[] = []
  for (const word of words.filter((each) => each !== '')) {
    const last = lines.at(-1)
    const joined = last === undefined ? word : `${last}${between}${word}`
    if (last !== undefined && isTTY && joined.length + 2 >= columns) {
      lines[lines.length - 1] = `${last}${between.trimEnd()}`
      lines.push(word)
    } else lines[Math.max(0, lines.length - 1)] = joined
  }
  return lines.flatMap((line) =>
    isTTY && between !== ' ' && line.length + 2 > columns ? wrapped(line.split(' '), ' ', look) : `  ${line}`,
  )
}

/** Names of files and what servers say come from outside. */
export function inert(text: string): string {
  return quote(text, Number.POSITIVE_INFINITY)
}
