import { domainToASCII, domainToUnicode } from 'node:url'
import { fail, quote } from '../base/errors.ts'
import { mixedScripts } from './script.ts'

/** RFC 1035 section 2.3.4, without the length byte of the root. */
const nameCharactersMax = 253
const labelCharactersMax = 63

/**
 * A host name as certificates hold it: lower case, A-labels, without a dot at the end; a whole left-most label may be `*`.
 * `confirmIdn` accepts labels that mix scripts. Fails with NAME_INVALID, NAME_HAS_SCHEME, NAME_HAS_PORT, NAME_BAD_WILDCARD or
 * NAME_MIXED_SCRIPT.
 */
export function parseHostName(text: string, { confirmIdn = false }: { readonly confirmIdn?: boolean } = {}): string {
  refuseUrl(text)
  if (isAddress(text)) invalid(text, 'it is an IP address, not a name')
  refuseWildcard(text)
  const wildcard = text.startsWith('*.')
  const name = wildcard ? text.slice(2) : text
  checkCharacters(text, name)
  const ascii = /^[\x00-\x7f]*$/.test(name) ? name.toLowerCase() : domainToASCII(name)
  if (ascii === '') invalid(text, 'it cannot be written in A-labels (IDNA)')
  const labels = ascii.split('.')
  for (const [index, label] of labels.entries()) checkLabel(text, label, index + (wildcard ? 2 : 1))
  const whole = wildcard ? `*.${ascii}` : ascii
  if (whole.length > nameCharactersMax) invalid(text, `it has ${whole.length} characters, limit ${nameCharactersMax}`)
  // Browsers and libc take such a name for an IPv4 address.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) invalid(text, 'its last label is a number')
  if (!confirmIdn) refuseMixedScript(text, whole)
  return whole
}

/** For a person: both forms where they differ, `bücher.example (xn--bcher-kva.example)`. */
export function displayName(name: string): string {
  const unicode = unicodeOf(name)
  return unicode === name ? quote(name) : `${quote(unicode)} (${quote(name)})`
}

/** `*.` is no host name, and domainToUnicode gives an empty text for it. */
function unicodeOf(name: string): string {
  const bare = name.startsWith('*.') ? name.slice(2) : name
  const unicode = domainToUnicode(bare)
  return unicode === '' ? name : `${name.slice(0, name.length - bare.length)}${unicode}`
}

function invalid(text: string, fact: string, next = 'write a host name such as www.example.com'): never {
  fail('NAME_INVALID', { what: `"${quote(text)}" is not a host name`, fact, next })
}

function refuseUrl(text: string): void {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? []
  if (scheme !== undefined) {
    fail('NAME_HAS_SCHEME', {
      what: `"${quote(text)}" is not a host name`,
      fact: `it begins with ${quote(scheme, 20)}://`,
      next: `write only the name: ${quote(/[^/:?#@]*/.exec((rest ?? '').replace(/^[^/@]*@/, ''))?.[0] ?? '')}`,
    })
  }
  const [, name, port] = /^([^:]*):(\d{1,10})$/.exec(text) ?? []
  if (port !== undefined) {
    fail('NAME_HAS_PORT', {
      what: `"${quote(text)}" is not a host name`,
      fact: `it ends with the port ${port}`,
      next: `write only the name: ${quote(name ?? '')}`,
    })
  }
}

function refuseWildcard(text: string): void {
  if (!text.includes('*')) return
  const labels = text.split('.')
  const fact =
    labels.length < 3
      ? 'a wildcard needs at least two labels after it'
      : labels[0] !== '*'
        ? 'a wildcard is the whole first label, and nothing else'
        : 'only one wildcard is allowed'
  if (labels.length >= 3 && labels[0] === '*' && !labels.slice(1).join('.').includes('*')) return
  fail('NAME_BAD_WILDCARD', {
    what: `"${quote(text)}" is not a usable wildcard`,
    fact,
    next: 'write it as *.example.com',
  })
}

/** Before domainToASCII, which decodes `%61`, drops soft hyphens and takes `0x7f.1` for an address. */
function checkCharacters(text: string, name: string): void {
  if (name === '') invalid(text, 'it is empty')
  if (name.length > 4 * nameCharactersMax) invalid(text, `it has ${name.length} characters, limit ${nameCharactersMax}`)
  const [bad] = /[^a-z0-9._\-\u0080-\u{10ffff}]/iu.exec(name) ?? []
  if (bad !== undefined) invalid(text, `"${quote(bad)}" is not allowed in a host name`)
  const [hidden] = /[\p{Cf}\p{Cc}\p{Zs}\p{Zl}\p{Zp}]/u.exec(name) ?? []
  if (hidden !== undefined) invalid(text, `it holds the invisible character "${quote(hidden)}"`)
}

/** LDH labels: RFC 5890 section 2.3.1. */
function checkLabel(text: string, label: string, position: number): void {
  const what = `label ${position} "${quote(label)}"`
  if (label === '') {
    const trailing = text.endsWith('.') && !text.endsWith('..')
    invalid(
      text,
      trailing ? 'it ends with a dot' : `label ${position} is empty`,
      trailing ? `write ${quote(text.slice(0, -1))}` : undefined,
    )
  }
  if (label.includes('_')) invalid(text, `${what}: underscore is not allowed`)
  if (label.startsWith('-') || label.endsWith('-')) invalid(text, `${what}: a label neither begins nor ends with "-"`)
  if (label.length > labelCharactersMax)
    invalid(text, `${what}: ${label.length} characters, limit ${labelCharactersMax}`)
  if (!/^[a-z0-9-]+$/.test(label)) invalid(text, `${what}: only letters, digits and "-" are allowed`)
  if (label.slice(2, 4) === '--' && !isALabel(label)) {
    invalid(text, `${what}: "--" in third place is reserved for A-labels (xn--…), and this is none`)
  }
}

/** RFC 5890 section 2.3.2.1. domainToASCII passes any `xn--` text; what decodes to itself, or encodes to another, is none. */
function isALabel(label: string): boolean {
  const unicode = domainToUnicode(label)
  return unicode !== label && domainToASCII(unicode) === label
}

function refuseMixedScript(text: string, name: string): void {
  for (const label of unicodeOf(name).split('.')) {
    const mixed = mixedScripts(label)
    if (mixed.length === 0) continue
    fail('NAME_MIXED_SCRIPT', {
      what: `"${quote(text)}" mixes writing systems, as names made to deceive do`,
      fact: `label "${quote(label)}" mixes ${mixed.join(', ')}; its A-label form is ${quote(name)}`,
      next: 'type the name again by hand, in one writing system; a name that mixes them cannot be used',
    })
  }
}

/** IP address text, v4 or v6. */
export function isAddress(text: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return text.split('.').every((part) => Number(part) <= 255)
  return /^[0-9a-f:.]{2,45}$/i.test(text) && text.includes(':') && URL.canParse(`http://[${text}]`)
}

/** As an address stands before a port or in a URL: `192.0.2.1`, `[2001:db8::1]`; a host name as it is. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** One spelling for each address, so that texts can be compared. */
export function canonicalAddress(text: string): string {
  return text.includes(':') ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text
}

/** The names as a set: the same text for the same names, whatever their order and capitals (RFC 8555 section 7.1.3). */
export function nameSet(names: readonly string[]): string {
  return [...new Set(names.map((name) => name.toLowerCase()))].toSorted().join(' ')
}

/** Whether `hostName` is among the dNSName entries, by RFC 9525 section 6.3. A wildcard site is covered only by that wildcard. */
export function covers(certNames: readonly string[], hostName: string): boolean {
  const wanted = hostName.toLowerCase()
  const dot = wanted.indexOf('.')
  const parent = dot > 0 && !wanted.startsWith('*.') ? wanted.slice(dot + 1) : ''
  return certNames.some((name) => {
    const offered = name.toLowerCase()
    // Clients do not take *.com: a wildcard needs two labels after it.
    return offered === wanted || (parent.includes('.') && !isAddress(wanted) && offered === `*.${parent}`)
  })
}

/** RFC 6761, 6762, 7686, 8375, 9476, and what networks use inside although nobody owns it. */
const privateSuffixes = [
  'localhost',
  'local',
  'test',
  'example',
  'invalid',
  'onion',
  'alt',
  'internal',
  'home.arpa',
  'lan',
  'home',
  'corp',
]
const privateAddresses =
  /^(0|10|127)\.|^169\.254\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|^::1?$|^f[cd]|^fe[89ab]/

/** Whether the public DNS may know it. */
export function isPublicName(hostName: string): boolean {
  return !isAddress(hostName) && notPublic(hostName.toLowerCase()) === false
}

/** Fails with NAME_NOT_PUBLIC where no public CA can issue for the name or address. */
export function requirePublicName(text: string): void {
  const reason = isAddress(text)
    ? privateAddresses.test(canonicalAddress(text)) && 'it is a private address'
    : notPublic(text.toLowerCase())
  if (!reason) return
  fail('NAME_NOT_PUBLIC', {
    what: `no public CA issues for "${quote(text)}"`,
    fact: reason,
    next: 'use a name under a registered domain, or an issuer of kind local-ca',
  })
}

function notPublic(name: string): string | false {
  const suffix = privateSuffixes.find((each) => name === each || name.endsWith(`.${each}`))
  if (suffix) return `names under "${suffix}" belong to nobody`
  return !name.includes('.') && 'it has only one label'
}
