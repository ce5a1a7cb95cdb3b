import { createHash } from 'node:crypto'
import type { RecordBody, RecordRow } from '../store/store.ts'

const genesis = '0'.repeat(64)

/** JSON with sorted keys: the same facts are always the same bytes. Undefined has no member, and is null in a list. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`)
  return `{${members.join(',')}}`
}

/** The next row of the chain: its hash covers its place, its time, its body and the hash before it. */
export function link(previous: RecordRow | null, { atMs, body }: RecordBody): RecordRow {
  const seq = (previous?.seq ?? 0) + 1
  const prev = previous?.hash ?? genesis
  return { seq, atMs, body, prev, hash: hashOf(prev, seq, atMs, body) }
}

function hashOf(prev: string, seq: number, atMs: number, body: string): string {
  return createHash('sha256').update(`${prev}\n${seq}\n${atMs}\n${body}`).digest('hex')
}

export type ChainVerdict = { readonly ok: true } | { readonly ok: false; readonly seq: number; readonly reason: string }

/**
 * Whether every row follows from the one before: an edit, deletion, insertion or new order shows. A cut tail shows only
 * against a head that was noted elsewhere.
 */
export function verifyChain(
  rows: readonly RecordRow[],
  head?: { readonly seq: number; readonly hash: string },
): ChainVerdict {
  let prev = genesis
  for (const [at, row] of rows.entries()) {
    const seq = at + 1
    if (row.seq !== seq)
      return { ok: false, seq, reason: `entry ${seq} is missing; entry ${row.seq} stands in its place` }
    if (row.prev !== prev) return { ok: false, seq, reason: 'it does not follow from the entry before it' }
    if (row.hash !== hashOf(prev, seq, row.atMs, row.body))
      return { ok: false, seq, reason: 'its text is not what was hashed' }
    prev = row.hash
  }
  if (head && rows[head.seq - 1]?.hash !== head.hash) {
    const reason =
      rows.length < head.seq ? `the chain ends at entry ${rows.length}` : 'it is not the entry that was noted'
    return { ok: false, seq: head.seq, reason }
  }
  return { ok: true }
}
