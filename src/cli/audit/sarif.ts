import { createHash } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Audit } from '../../actions/audit.ts'
import {
  auditExit,
  type Finding,
  findingId,
  isUnseen,
  type Reason,
  reasons,
  type Severity,
} from '../../audit/finding.ts'
import { meanings } from '../../audit/meaning.ts'
import { programVersion } from '../../base/version.ts'
import type { Ran } from './junit.ts'

const schema = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json'
const guide = 'docs/guides/audit.md'
const levels: Record<Severity, 'error' | 'warning' | 'note'> = { critical: 'error', warning: 'warning', notice: 'note' }
const names = Object.keys(reasons) as Reason[]
const exits = {
  0: 'everything is as it should be',
  1: 'drift',
  2: 'no drift was seen, but something could not be looked at',
}

/** The file that says what should be. */
export interface FleetFile {
  /** As the user typed it. */
  readonly name: string
  /** The number of the line of a key, from 1. */
  readonly lineOf: (path: readonly string[]) => number
}

/**
 * The audit as a log of SARIF 2.1.0 with one run. A rule is a reason, a result is a finding. `helpUri` has to be absolute
 * (3.49.12), and the guide lies beside the program: each rule names it in its help.
 * @param fleetFile where an alert is shown
 */
export function sarifOf(
  { findings }: Pick<Audit, 'findings'>,
  { startedMs, endedMs }: Ran,
  fleetFile: FleetFile,
): Record<string, unknown> {
  const unseen = findings.filter(isUnseen)
  const exitCode = auditExit(findings)
  return {
    $schema: schema,
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'onecert', version: programVersion(), rules: names.map(ruleOf) } },
        automationDetails: { id: 'onecert/audit/' },
        invocations: [
          {
            executionSuccessful: unseen.length === 0,
            exitCode,
            exitCodeDescription: exits[exitCode],
            startTimeUtc: new Date(startedMs).toISOString(),
            endTimeUtc: new Date(endedMs).toISOString(),
            toolExecutionNotifications: unseen.map((finding) => ({
              associatedRule: ruleReference(finding),
              level: 'warning',
              message: { text: messageOf(finding) },
              locations: [locationOf(finding, fleetFile)],
            })),
          },
        ],
        results: findings.map((finding) => resultOf(finding, fleetFile)),
      },
    ],
  }
}

function ruleOf(id: Reason) {
  const text = meanings[id].replaceAll('`', '')
  return {
    id,
    shortDescription: { text },
    help: {
      text: `${text}. What an audit finds, and what to do: ${guide}`,
      markdown: `${meanings[id]}. What an audit finds, and what to do: \`${guide}\`, \`${id}\``,
    },
    defaultConfiguration: { level: levels[reasons[id]] },
  }
}

const ruleReference = ({ reason }: Finding) => ({ id: reason, index: names.indexOf(reason) })

function resultOf(finding: Finding, fleetFile: FleetFile) {
  const { reason, severity, certificate, expected, disk, served, repair } = finding
  return {
    ruleId: reason,
    ruleIndex: names.indexOf(reason),
    level: levels[severity],
    message: { text: messageOf(finding) },
    locations: [locationOf(finding, fleetFile)],
    // A reader that knows it shows one alert for as long as it is there, and closes that when it is gone.
    partialFingerprints: { 'finding/v1': createHash('sha256').update(findingId(finding)).digest('hex') },
    properties: { certificate, expected, disk, served, repair },
  }
}

function messageOf({ server, what, expected, disk, served, repair }: Finding): string {
  const facts = Object.entries({ expected, 'on disk': disk, served })
    .flatMap(([name, fact]) => (fact === null ? [] : `${name} ${fact}`))
    .join(', ')
  return `${server === null ? '' : `${server}: `}${what}${facts && ` (${facts})`}. Next: ${repair}`
}

/** Readers of alerts want a file and, GitHub at least, a line: where the fleet file says what should be. */
function locationOf({ certificate, server, site, place }: Finding, fleetFile: FleetFile) {
  const at = (name: string | null, kind: string) =>
    name === null
      ? []
      : [{ name, kind, fullyQualifiedName: `${certificate}/${[server, name].filter(Boolean).join('/')}` }]
  const { name: file, lineOf } = fleetFile
  const uri = isAbsolute(file) ? pathToFileURL(file).href : file.split('/').map(encodeURIComponent).join('/')
  const startLine = lineOf(
    server !== null ? ['servers', server] : site !== null ? ['sites', site] : ['certificates', certificate],
  )
  return {
    physicalLocation: { artifactLocation: { uri }, region: { startLine } },
    logicalLocations: [
      ...(server === null ? [] : [{ name: server, kind: 'server', fullyQualifiedName: `${certificate}/${server}` }]),
      ...at(place, place?.startsWith('/') || place?.startsWith('gen-') ? 'file' : 'address'),
      ...at(site, 'site'),
      { name: certificate, kind: 'certificate', fullyQualifiedName: certificate },
    ],
  }
}
