import type { DiskFacts } from '../observe/disk.ts'
import { endpointText } from '../observe/endpoint.ts'
import { type Desired, generationNumber, generationText } from './desired.ts'
import { type Finding, finding } from './finding.ts'
import type { EndpointSeen } from './served.ts'

/** What `onecert revoke` took back, and a server still serves, in whichever of its connections. Pure. */
export function judgeRevokedServed(desired: Desired, seen: EndpointSeen): Finding[] {
  const { server, endpoint, again = [] } = seen
  const shown = [seen, ...again].flatMap(({ served }) => served?.chain[0] ?? [])
  const revoked = shown.flatMap((leaf) => {
    const number = desired.numbers.get(leaf)
    const reason = number === undefined ? null : (desired.generations.get(number)?.revoked ?? null)
    return number === undefined || reason === null ? [] : [{ leaf, number, reason }]
  })
  const [first] = revoked
  if (!first) return []
  const { leaf, number, reason } = first
  return [
    finding('revoked', {
      ...baseOf(desired, server),
      site: endpoint.name,
      place: endpointText(endpoint),
      what: `serves a certificate that is revoked (${reason})`,
      served: generationText(number, leaf),
    }),
  ]
}

/** What `onecert revoke` took back, and a service would read with its next start. Pure. */
export function judgeRevokedCurrent(desired: Desired, server: string, { current }: DiskFacts): Finding[] {
  const number = generationNumber(current)
  const reason = number === null ? null : (desired.generations.get(number)?.revoked ?? null)
  if (reason === null) return []
  return [
    finding('revoked', {
      ...baseOf(desired, server),
      place: current,
      what: `holds a certificate as current that is revoked (${reason})`,
      disk: `generation ${number}`,
    }),
  ]
}

/** Where the newest one is revoked, `apply` gets another. */
function baseOf({ certificate, newest, generations }: Desired, server: string) {
  const usable = newest !== null && !generations.get(newest.number)?.revoked
  return {
    certificate,
    server,
    expected: usable ? generationText(newest.number, newest.chain[0]) : 'a new generation',
    repair: `onecert apply ${certificate}`,
  }
}
