/** Mozilla's guidelines for TLS on servers, version 6.0 (read 2026-11): what the profiles promise. */
export interface Profile {
  readonly name: ProfileName
  readonly versions: readonly ('TLSv1.2' | 'TLSv1.3')[]
  /** Of TLS 1.2, in OpenSSL's names. The client chooses. Empty: there is no TLS 1.2. */
  readonly ciphers: readonly string[]
  /** Of TLS 1.3. */
  readonly ciphersuites: readonly string[]
  readonly hstsSeconds: number
}

export type ProfileName = 'intermediate' | 'modern'

const both = {
  ciphersuites: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  hstsSeconds: 63_072_000,
}

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  intermediate: {
    name: 'intermediate',
    versions: ['TLSv1.2', 'TLSv1.3'],
    ciphers: [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
    ],
    ...both,
  },
  modern: { name: 'modern', versions: ['TLSv1.3'], ciphers: [], ...both },
}

/** The post-quantum key exchange is first where it is known: OpenSSL before 3.5 refuses a list that names it. */
export const postQuantumGroup = 'X25519MLKEM768'
export const groups = ['X25519', 'prime256v1', 'secp384r1'] as const
