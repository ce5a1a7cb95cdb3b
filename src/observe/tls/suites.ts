import type { KeyKind } from '../../fleet/fleet.ts'

/** A cipher suite of TLS 1.3: what its records are encrypted with (RFC 8446 appendix B.4). */
export interface Suite13 {
  readonly name: string
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'
  readonly keyBytes: number
  readonly hash: 'sha256' | 'sha384'
}

/** In the order of the offer. The first one costs the least. */
export const suites13: ReadonlyMap<number, Suite13> = new Map([
  [0x1301, { name: 'TLS_AES_128_GCM_SHA256', cipher: 'aes-128-gcm', keyBytes: 16, hash: 'sha256' }],
  [0x1302, { name: 'TLS_AES_256_GCM_SHA384', cipher: 'aes-256-gcm', keyBytes: 32, hash: 'sha384' }],
  [0x1303, { name: 'TLS_CHACHA20_POLY1305_SHA256', cipher: 'chacha20-poly1305', keyBytes: 32, hash: 'sha256' }],
])

/** A cipher suite of TLS 1.2 whose server signs its key exchange. Nothing is ever encrypted with it here. */
export interface Suite12 {
  readonly name: string
  readonly exchange: 'ECDHE' | 'DHE'
  readonly kind: KeyKind
}

/** Code points (IANA) of the suites with these key exchanges, in the order of the offer: as OpenSSL has it, DHE last. */
const table: readonly (readonly [cipher: string, ecdsa: number, rsa: number, dhe: number])[] = [
  ['AES_128_GCM_SHA256', 0xc02b, 0xc02f, 0x009e],
  ['AES_256_GCM_SHA384', 0xc02c, 0xc030, 0x009f],
  ['CHACHA20_POLY1305_SHA256', 0xcca9, 0xcca8, 0xccaa],
  ['AES_128_CCM', 0xc0ac, 0, 0xc09e],
  ['AES_256_CCM', 0xc0ad, 0, 0xc09f],
  ['AES_128_CCM_8', 0xc0ae, 0, 0xc0a2],
  ['AES_256_CCM_8', 0xc0af, 0, 0xc0a3],
  ['ARIA_128_GCM_SHA256', 0xc05c, 0xc060, 0xc052],
  ['ARIA_256_GCM_SHA384', 0xc05d, 0xc061, 0xc053],
  ['CAMELLIA_128_GCM_SHA256', 0xc086, 0xc08a, 0xc07c],
  ['CAMELLIA_256_GCM_SHA384', 0xc087, 0xc08b, 0xc07d],
  ['AES_128_CBC_SHA256', 0xc023, 0xc027, 0x0067],
  ['AES_256_CBC_SHA384', 0xc024, 0xc028, 0],
  ['AES_256_CBC_SHA256', 0, 0, 0x006b],
  ['CAMELLIA_128_CBC_SHA256', 0xc072, 0xc076, 0x00be],
  ['CAMELLIA_256_CBC_SHA384', 0xc073, 0xc077, 0],
  ['CAMELLIA_256_CBC_SHA256', 0, 0, 0x00c4],
  ['AES_128_CBC_SHA', 0xc009, 0xc013, 0x0033],
  ['AES_256_CBC_SHA', 0xc00a, 0xc014, 0x0039],
  ['CAMELLIA_128_CBC_SHA', 0, 0, 0x0045],
  ['CAMELLIA_256_CBC_SHA', 0, 0, 0x0088],
]

export const suites12: ReadonlyMap<number, Suite12> = new Map(
  [
    ...table.map(([cipher, id]) => [id, suite12('ECDHE', 'ecdsa', cipher)] as const),
    ...table.map(([cipher, , id]) => [id, suite12('ECDHE', 'rsa', cipher)] as const),
    ...table.map(([cipher, , , id]) => [id, suite12('DHE', 'rsa', cipher)] as const),
  ].filter(([id]) => id !== 0),
)

function suite12(exchange: Suite12['exchange'], kind: KeyKind, cipher: string): Suite12 {
  return { name: `TLS_${exchange}_${kind === 'ecdsa' ? 'ECDSA' : 'RSA'}_WITH_${cipher}`, exchange, kind }
}

/** What is offered to see certificates of this kind, or of both. */
export function offeredSuites(keyKind: KeyKind | undefined): number[] {
  const twelve = [...suites12].filter(([, { kind }]) => keyKind === undefined || kind === keyKind)
  return [...suites13.keys(), ...twelve.map(([id]) => id)]
}
