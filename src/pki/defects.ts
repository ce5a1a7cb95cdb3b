import { OnecertError, quote } from '../base/errors.ts'
import type { X509 } from './certificate.ts'
import { nameOf } from './chain.ts'
import { canonicalAddress, covers, displayName, isAddress } from './names.ts'
import { instant, listed, span } from './text.ts'

const serverAuth = '1.3.6.1.5.5.7.3.1'
const anyUsage = '2.5.29.37.0'

/** CERT_NOT_A_LEAF, CERT_WRONG_USAGE. */
export function useDefects(leaf: X509): OnecertError[] {
  const next = 'ask the CA for a TLS server certificate'
  const wrong = (fact: string) =>
    new OnecertError('CERT_WRONG_USAGE', { what: `${nameOf(leaf)} is not for TLS servers`, fact, next })
  const { isCa, usages, maySign } = leaf
  return [
    ...(isCa
      ? [
          new OnecertError('CERT_NOT_A_LEAF', {
            what: `${nameOf(leaf)} is a CA certificate`,
            fact: 'it says CA:TRUE',
            next,
          }),
        ]
      : []),
    ...(usages && !usages.includes(serverAuth) && !usages.includes(anyUsage)
      ? [wrong(`extendedKeyUsage has ${listed(usages.map(usageName))}, but not serverAuth`)]
      : []),
    // Only the old RSA key exchange does without; TLS 1.3 has none of it.
    ...(maySign || isCa ? [] : [wrong('keyUsage lacks digitalSignature, which every TLS 1.3 handshake needs')]),
  ]
}

function usageName(usage: string): string {
  const names: Record<string, string> = {
    '1.3.6.1.5.5.7.3.2': 'clientAuth',
    '1.3.6.1.5.5.7.3.3': 'codeSigning',
    '1.3.6.1.5.5.7.3.4': 'emailProtection',
    '1.3.6.1.5.5.7.3.8': 'timeStamping',
    '1.3.6.1.5.5.7.3.9': 'OCSPSigning',
  }
  return names[usage] ?? usage
}

/** CERT_EXPIRED, CERT_NOT_YET_VALID: how long, and both clocks. */
export function dateDefects(certificate: X509, nowMs: number): OnecertError[] {
  const { notBeforeMs, notAfterMs } = certificate
  const dates = `valid ${instant(notBeforeMs)} to ${instant(notAfterMs)}; the clock here says ${instant(nowMs)}`
  if (nowMs > notAfterMs) {
    const what = `${nameOf(certificate)} expired ${span(nowMs - notAfterMs)} ago`
    return [new OnecertError('CERT_EXPIRED', { what, fact: dates, next: 'renew it, or set the clock right' })]
  }
  if (nowMs < notBeforeMs) {
    const what = `${nameOf(certificate)} is valid only in ${span(notBeforeMs - nowMs)}`
    return [new OnecertError('CERT_NOT_YET_VALID', { what, fact: dates, next: 'wait, or set the clock right' })]
  }
  return []
}

/** CERT_NAME_MISSING. */
export function nameDefects(leaf: X509, names: readonly string[]): OnecertError[] {
  const missing = names.filter((name) =>
    isAddress(name) ? !leaf.addresses.includes(canonicalAddress(name)) : !covers(leaf.names, name),
  )
  if (missing.length === 0) return []
  const has = listed([...leaf.names, ...leaf.addresses].map((name) => quote(name)))
  return [
    new OnecertError('CERT_NAME_MISSING', {
      what: `${nameOf(leaf)} does not cover ${listed(missing.map(displayName))}`,
      fact: `needed ${listed(names.map((name) => quote(name)))}; certificate has ${has}`,
      next: 'have it reissued with all names, or take the names off this certificate',
    }),
  ]
}

/** CERT_WEAK_SIGNATURE. */
export function signatureDefects(certificate: X509): OnecertError[] {
  // The leaf's own signature says nothing where nobody else has signed it.
  if (certificate.selfSigned || !/md[245]|sha-?1(?!\d)/i.test(certificate.signatureAlgorithm)) return []
  return [
    new OnecertError('CERT_WEAK_SIGNATURE', {
      what: `${nameOf(certificate)} has a weak signature`,
      fact: `signed with ${certificate.signatureAlgorithm}; clients take SHA-256 and better`,
      next: 'have it reissued, or ask the CA for its present intermediate',
    }),
  ]
}
