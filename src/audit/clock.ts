import type { DiskFacts } from '../observe/disk.ts'
import { minute } from '../pki/text.ts'
import type { Desired } from './desired.ts'
import { type Finding, finding } from './finding.ts'

const driftMostMs = 5 * 60_000

/**
 * A server's clock against ours at the moment at which it was read, and against the dates of the generation that is current there. Pure.
 * @param current its number; null: there is none
 */
export function judgeClock(
  { certificate, newest, generations }: Desired,
  server: string,
  facts: Pick<DiskFacts, 'clockMs' | 'atMs' | 'current'>,
  current: number | null,
): Finding[] {
  const { clockMs, atMs } = facts
  const setClock = `set the clock of ${server}`
  const base = { certificate, server, repair: setClock }
  const dated = { ...base, place: facts.current, disk: `its clock ${minute(clockMs)}` }
  const findings: Finding[] = []
  const aheadMs = clockMs - atMs
  if (Math.abs(aheadMs) > driftMostMs) {
    const minutes = Math.round(Math.abs(aheadMs) / 60_000)
    const what = `its clock is ${minutes} minutes ${aheadMs > 0 ? 'ahead' : 'behind'}`
    findings.push(finding('clock-wrong', { ...base, what, expected: minute(atMs), disk: minute(clockMs) }))
  }
  if (current === null) return findings
  const beginsMs = generations.get(current)?.notBeforeMs
  if (beginsMs !== undefined && clockMs < beginsMs) {
    const what = 'by its clock, the certificate on it has not begun yet'
    const repair = aheadMs < -driftMostMs ? setClock : `wait until ${minute(beginsMs)}; then: onecert audit`
    findings.push(finding('not-yet-valid', { ...dated, what, expected: `valid from ${minute(beginsMs)}`, repair }))
  }
  // What has expired by our clock too, a handshake shows.
  if (newest !== null && current === newest.number && clockMs >= newest.notAfterMs && atMs < newest.notAfterMs) {
    const what = 'by its clock, the certificate on it has expired'
    findings.push(finding('expired', { ...dated, what, expected: `valid until ${minute(newest.notAfterMs)}` }))
  }
  return findings
}
