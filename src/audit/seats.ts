import type { KeyCopy } from '../ledger/keycopies.ts'
import { type Finding, finding } from './finding.ts'

/** What is known of the copies of one lineage's keys. */
export interface Copies {
  readonly certificate: string
  /** Servers whose entries the licence is for, in fleet-file order. */
  readonly placed: readonly string[]
  /** By the record. */
  readonly recorded: readonly KeyCopy[]
  /** Servers on which a key of the lineage was seen. */
  readonly seen: ReadonlySet<string>
  /** What the licence allows; absent: any number. */
  readonly seats: number | undefined
}

/**
 * Copies that the licence has no seat for: on a server that no site names any more, and beyond the number of seats. Those
 * that come first in the fleet file have theirs. Pure.
 */
export function judgeSeats({ certificate, placed, recorded, seen, seats }: Copies): Finding[] {
  if (seats === undefined) return []
  const byServer = Map.groupBy(recorded, ({ server }) => server)
  const holders = placed.filter((server) => byServer.has(server) || seen.has(server))
  const strays = [...byServer.keys()].filter((server) => !placed.includes(server))
  const count = holders.length + strays.length
  const expected = `${seats} ${seats === 1 ? 'server' : 'servers'} with a copy`
  const found = (server: string, what: string, repair: string) => {
    const copies = byServer.get(server) ?? []
    const sure = copies.length === 0 || copies.some(({ certain }) => certain)
    return finding('no-seat', {
      certificate,
      server,
      what: sure ? what : `${what}; it may have none: it was being written when that was interrupted`,
      expected,
      disk: `${count} with one`,
      repair,
    })
  }
  return [
    ...holders
      .slice(seats)
      .map((server) =>
        found(
          server,
          'has a copy of the private key that the licence has no seat for',
          `buy seats for ${certificate} and raise its licence, or: onecert server remove ${server}`,
        ),
      ),
    ...strays.map((server) =>
      found(
        server,
        'has a copy of the private key, by the record, and no site of the certificate is on it any more',
        `onecert server remove ${server}`,
      ),
    ),
  ]
}
