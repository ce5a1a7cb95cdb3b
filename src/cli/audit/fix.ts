import { fixAll, type Repaired } from '../../actions/audit-fix.ts'
import type { Choice } from '../../actions/choice.ts'
import type { Context } from '../../actions/context.ts'
import { type Finding, findingId } from '../../audit/finding.ts'
import { type Repair, repairCommand, repairsOf } from '../../audit/repair.ts'
import type { OnecertError } from '../../base/errors.ts'
import { counted } from '../../pki/text.ts'
import { appliedJson, failuresOf, printApplied } from '../commands/apply.ts'
import { printError } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

/** What is to be done, before it is done. */
export function repairLines(findings: readonly Finding[]): string[] {
  return repairsOf(findings).flatMap((repair) => {
    const reasons = Map.groupBy(repair.findings, ({ reason }) => reason)
    const why = [...reasons].map(([reason, all]) => {
      const servers = [...new Set(all.flatMap(({ server }) => server ?? []))]
      return `    ${reason}${servers.length > 0 ? ` at ${servers.join(', ')}` : ''}`
    })
    return [`  ${repairCommand(repair)}`, ...why]
  })
}

/** Carries out what `apply` can mend, and tells it on stderr: stdout has what the next audit finds. */
export async function carryOut(
  context: Context,
  findings: readonly Finding[],
  choice: Choice,
  terminal: Terminal | null,
): Promise<Repaired[]> {
  const startedMs = context.clock.nowMs()
  const all = await fixAll(context, repairsOf(findings), choice)
  if (terminal === null) return all
  for (const { result, stopped } of all) {
    const elapsedMs = context.clock.nowMs() - startedMs
    for (const each of result?.applied ?? [])
      printApplied(each, { ...terminal, out: terminal.err }, { forced: false, elapsedMs })
    for (const each of failuresAt({ result, stopped })) printError(each, terminal, { json: false, debug: false })
  }
  return all
}

function failuresAt({ result, stopped }: Pick<Repaired, 'result' | 'stopped'>): OnecertError[] {
  return [...(result ? failuresOf(result) : []), ...(stopped ? [stopped] : [])]
}

/** `3 of 4 are mended; 1 is left`, by what the audit behind it found. */
export function mendedText(tried: readonly Finding[], now: readonly Finding[]): string {
  const there = new Set(now.map(findingId))
  const left = tried.filter((each) => there.has(findingId(each))).length
  const others = now.filter(({ severity }) => severity !== 'notice').length - left
  return [
    `${tried.length - left} of ${counted(tried.length, 'finding')} mended`,
    ...(left > 0 ? [`${left} still there although it was tried`] : []),
    ...(others > 0 ? [`${others} for a person`] : []),
  ].join(', ')
}

export function repairedJson({ repair, result, stopped }: Repaired): Record<string, unknown> {
  return {
    ...repairJson(repair),
    failures: failuresAt({ result, stopped }).map((each) => each.toJSON()),
    certificates: result?.applied.map(appliedJson) ?? [],
  }
}

function repairJson(repair: Repair): Record<string, unknown> {
  const { certificate, servers, findings } = repair
  return {
    command: repairCommand(repair),
    certificate,
    servers,
    findings: findings.map(({ reason, server, place }) => ({ reason, server, place })),
  }
}
