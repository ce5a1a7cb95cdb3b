import { hourMs } from '../base/clock.ts'
import { type Finding, findingId } from './finding.ts'

/** What `onecert apply` can do about findings: one call. */
export interface Repair {
  readonly certificate: string
  /** null: whichever servers need it. */
  readonly servers: readonly string[] | null
  readonly findings: readonly Finding[]
}

/**
 * Whether `onecert apply` mends it, and that is all that there is to do: only then its repair is this command and nothing
 * else. A notice needs no repair.
 */
export function isMendedByApply({ severity, certificate, server, repair }: Finding): boolean {
  const command = `onecert apply ${certificate}`
  return severity !== 'notice' && (repair === command || repair === `${command} --server ${server}`)
}

/** The calls of `apply` that mend what it can mend, in the order of the findings. Pure. */
export function repairsOf(findings: readonly Finding[]): Repair[] {
  const mended = findings.filter(isMendedByApply)
  return [
    ...Map.groupBy(mended, ({ certificate, server }) => JSON.stringify([certificate, server === null])).values(),
  ].map((group) => {
    const servers = [...new Set(group.flatMap(({ server }) => server ?? []))]
    return {
      certificate: group[0]?.certificate ?? '',
      servers: servers.length > 0 ? servers : null,
      findings: group,
    }
  })
}

/** The command that a person would type. */
export function repairCommand({ certificate, servers }: Repair): string {
  return `onecert apply ${certificate}${servers ? ` --server ${servers.join(' ')}` : ''}`
}

/** When repairs were begun, by the identity of the finding, in ms. */
export type Tries = ReadonlyMap<string, number>

/** A repair that did not help is not begun again at once: what it needs is a person. */
const againAfterMs = hourMs

/** The findings whose repair was not begun within the last hour, and the tries once these are begun. Pure. */
export function untried(
  findings: readonly Finding[],
  tries: Tries,
  nowMs: number,
): { readonly findings: readonly Finding[]; readonly tries: Tries } {
  const recent = new Map([...tries].filter(([, atMs]) => nowMs - atMs < againAfterMs))
  const due = findings.filter((each) => isMendedByApply(each) && !recent.has(findingId(each)))
  return { findings: due, tries: new Map([...recent, ...due.map((each) => [findingId(each), nowMs] as const)]) }
}
