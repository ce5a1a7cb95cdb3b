import { createHash } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import type { TicketFormat } from '../services/service.ts'

/** The session ticket keys of a lineage: the one before, the one that encrypts, the one to come. All three decrypt. */
export interface TicketKeys {
  /** Grows with each set. */
  readonly number: number
  /** Three lines of Base64, in that order; 80 bytes each. */
  readonly lines: Secret<string>
}

/** SHA-256 (lower hex) of what a server that holds them has on disk (receiver/, `hash_set`). */
export function ticketHash({ lines }: TicketKeys, format: TicketFormat): string {
  const hash = createHash('sha256')
  if (format === 'lines') return hash.update(lines.reveal()).digest('hex')
  for (const line of lines.reveal().trimEnd().split('\n')) hash.update(Buffer.from(line, 'base64'))
  return hash.digest('hex')
}

/** A name for them on a server, by their content; another one than the linked set has, which may be damaged. */
export function ticketSetName(hash: string, linked: string | null): string {
  const name = `tickets-${hash.slice(0, 16)}`
  return name === linked ? `${name}.2` : name
}

/** What is kept of them between runs; no key. */
export interface TicketState {
  readonly number: number
  /** SHA-256 of the lines: their name in the vault. */
  readonly id: string
  /** The key pair that they were made beside: with another one, they are made anew. */
  readonly spki: string
  readonly rotatedAtMs: number
  /** By server: the number of the set that was last proved there. */
  readonly held: Readonly<Record<string, number>>
  /** By server: the number of the set for which its service was reloaded once more, as its sessions did not resume elsewhere. */
  readonly reread?: Readonly<Record<string, number>>
}

export type TicketDecision =
  /** Three new ones: no session from before resumes any more. */
  | { readonly kind: 'make'; readonly reason: string }
  /** The one to come is on every server: it encrypts from now on. */
  | { readonly kind: 'rotate'; readonly reason: string }
  /** `late`: servers that have not got the set yet, though a rotation is due. */
  | { readonly kind: 'keep'; readonly dueMs: number; readonly late: readonly string[] }

/** What happens to the ticket keys of a lineage now. @param servers those that serve the lineage already. Pure. */
export function decideTickets(
  state: TicketState | null,
  {
    nowMs,
    rotateMs,
    spki,
    servers,
  }: {
    readonly nowMs: number
    readonly rotateMs: number
    readonly spki: string
    readonly servers: readonly string[]
  },
): TicketDecision {
  if (state === null) return { kind: 'make', reason: 'there are none yet' }
  if (state.spki !== spki) return { kind: 'make', reason: 'the certificate has a new key' }
  const dueMs = state.rotatedAtMs + rotateMs
  if (nowMs < dueMs) return { kind: 'keep', dueMs, late: [] }
  const late = servers.filter((server) => state.held[server] !== state.number)
  if (late.length > 0) return { kind: 'keep', dueMs, late }
  return { kind: 'rotate', reason: `the one in use is older than ${Math.round(rotateMs / 60_000)} minutes` }
}
