import { createHash } from 'node:crypto'
import type { GenerationRow, ObservationRow } from '../../src/store/store.ts'

const hash = (text: string) => createHash('sha256').update(text).digest('hex')

/** A generation as it is given to a store; `seed` makes its leaf. */
export function generationOf(lineage: string, seed: string): Omit<GenerationRow, 'number'> {
  return {
    lineage,
    spki: hash(`spki ${seed}`),
    fingerprint: hash(`leaf ${seed}`),
    notBeforeMs: 1_798_761_600_000,
    notAfterMs: 1_806_537_600_000,
    chainPem: `-----BEGIN CERTIFICATE-----\n${seed}\n-----END CERTIFICATE-----\n`,
    names: ['www.domain.example', '*.bücher.example', `"${seed}"`],
    issuer: 'lab',
    keyMadeAtMs: 1_798_700_000_123,
    createdAtMs: 1_798_761_600_456,
  }
}

export function observationOf(
  server: string,
  name: string,
  atMs: number,
  port = 443,
  address = '192.0.2.11',
): ObservationRow {
  return {
    server,
    name,
    address,
    port,
    atMs,
    vantage: 'direct',
    fingerprint: hash(`${atMs}`),
    notAfterMs: atMs + 1,
    reason: null,
  }
}
