import type { Round } from '../../actions/audit-watch.ts'
import type { Standing } from '../../audit/change.ts'
import { auditExit, type Finding, findingId, isUnseen } from '../../audit/finding.ts'
import type { OnecertError } from '../../base/errors.ts'
import { counted } from '../../pki/text.ts'
import { renderError, type Terminal } from '../terminal.ts'
import { findingLines, inert, lookedText, severityStyles, verdictStyle, verdictText } from './text.ts'

/** What a watch tells: for people lines, for machines a JSON object a line. */
export interface WatchTold {
  round(round: Round): void
  failed(error: OnecertError, atMs: number): void
  /** Repairs that are about to be carried out. */
  repairing(lines: readonly string[], findings: readonly Finding[], atMs: number): void
}

/** What changed, and a line that says that somebody looks. */
export function tellLines(terminal: Terminal): WatchTold {
  const { out, style } = terminal
  const say = (atMs: number, text: string) => out(`${timeText(atMs)}  ${text}`)
  return {
    round({ atMs, audit, change }) {
      if (change.appeared.length > 0) {
        say(atMs, style('bold', 'new:'))
        for (const line of findingLines(findingsOf(change.appeared), terminal)) out(line)
      }
      for (const line of goneLines(change.gone, atMs, terminal)) say(atMs, line)
      // What is known of before, and hidden now, is not what the verdict tells.
      const told = new Set(audit.findings.map(findingId))
      const wrong = [...change.known].flatMap(([id, each]) =>
        told.has(id) && each.finding.severity !== 'notice' ? each : [],
      )
      const sinceMs = Math.min(...wrong.map(({ sinceMs }) => sinceMs))
      const verdict = style([verdictStyle(audit.findings), 'bold'], heartbeat(audit.findings))
      const since = wrong.length === 0 ? '' : sinceText(atMs - sinceMs)
      say(atMs, `${verdict}${since}: ${lookedText(audit.looked)}`)
    },
    failed(error, atMs) {
      say(atMs, style(['red', 'bold'], 'this round failed; the next one comes'))
      out(renderError(error, terminal))
    },
    repairing(lines, _findings, atMs) {
      say(atMs, 'this is repaired now:')
      for (const line of lines) out(line)
    },
  }
}

export function tellJson(terminal: Terminal): WatchTold {
  const say = (event: string, atMs: number, value: Record<string, unknown>) =>
    terminal.out(JSON.stringify({ event, at: new Date(atMs).toISOString(), ...value }))
  const standing = ({ finding, sinceMs }: Standing) => ({ since: new Date(sinceMs).toISOString(), finding })
  return {
    round({ atMs, audit, change }) {
      for (const each of change.appeared) say('appeared', atMs, standing(each))
      for (const each of change.gone) say('gone', atMs, standing(each))
      const count = (wanted: (finding: Finding) => boolean) => audit.findings.filter(wanted).length
      say('round', atMs, {
        exit: auditExit(audit.findings),
        critical: count(({ severity }) => severity === 'critical'),
        warnings: count((each) => each.severity === 'warning' && !isUnseen(each)),
        unseen: count(isUnseen),
        notices: count(({ severity }) => severity === 'notice'),
        looked: audit.looked,
      })
    },
    failed: (error, atMs) => say('failed', atMs, { error: error.toJSON() }),
    repairing: (_lines, findings, atMs) => say('repairing', atMs, { findings }),
  }
}

const findingsOf = (standing: readonly Standing[]) => standing.map(({ finding }) => finding)

function heartbeat(findings: readonly Finding[]): string {
  const text = verdictText(findings).replace(', nothing else wrong', '')
  return text === 'nothing wrong' ? 'all right' : text
}

function goneLines(gone: readonly Standing[], nowMs: number, { style }: Terminal): string[] {
  const groups = Map.groupBy(gone, ({ finding: { reason, certificate }, sinceMs }) =>
    JSON.stringify([reason, certificate, sinceMs]),
  )
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (!first) return []
    const { reason, severity, certificate } = first.finding
    const where = [...new Set(findingsOf(group).map(({ server, place, site }) => server ?? site ?? place ?? ''))]
    const at = where.filter((each) => each !== '').map(inert)
    return `${style('green', 'gone:')} ${style(severityStyles[severity], severity)} ${reason} of ${certificate}${at.length > 0 ? ` at ${at.join(', ')}` : ''}, it was there${sinceText(nowMs - first.sinceMs)}`
  })
}

function sinceText(durationMs: number): string {
  const minutes = Math.floor(durationMs / 60_000)
  if (durationMs < 1_000) return ' just now'
  if (minutes < 1) return ` for ${Math.floor(durationMs / 1_000)} s`
  if (minutes < 120) return ` for ${minutes} min`
  return minutes < 2_880 ? ` for ${Math.floor(minutes / 60)} h` : ` for ${counted(Math.floor(minutes / 1_440), 'day')}`
}

/** UTC, to the second. */
function timeText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')}Z`
}
