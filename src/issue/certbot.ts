import { fail, quote } from '../base/errors.ts'
import type { KeyType } from '../pki/key.ts'

/** What certbot remembers of a lineage, for its renewals. Commands of hooks are not kept: they may hold secrets. */
export interface CertbotRenewal {
  readonly version: string | null
  /** Directory URL of the CA. */
  readonly server: string | null
  readonly authenticator: string | null
  readonly installer: string | null
  /** Null where it is a key that onecert does not make. */
  readonly keyType: KeyType | null
  readonly reuseKey: boolean
  readonly preferredChain: string | null
  /** False: certbot was told not to renew it. */
  readonly renews: boolean
  /** The kinds of hooks that are set: `pre_hook`, `renew_hook`, … */
  readonly hooks: readonly string[]
}

type Section = Map<string, string>

/** certbot calls its deploy hook `renew_hook` there. */
const hookKeys = ['pre_hook', 'post_hook', 'renew_hook', 'deploy_hook', 'manual_auth_hook', 'manual_cleanup_hook']

const curves: Readonly<Record<string, KeyType>> = { secp256r1: 'ec-p256', secp384r1: 'ec-p384' }
const rsaBits: Readonly<Record<string, KeyType>> = { '2048': 'rsa-2048', '3072': 'rsa-3072', '4096': 'rsa-4096' }

/**
 * Reads renewal/NAME.conf, as certbot writes it with configobj. Pure.
 * @throws OnecertError IMPORT_UNREADABLE
 */
export function readCertbotRenewal(text: string, file: string): CertbotRenewal {
  const sections = readSections(text, file)
  const top = sections.get('') ?? new Map<string, string>()
  const parameters = sections.get('renewalparams')
  if (!parameters) refuse(file, 'it has no section [renewalparams]')
  const value = (key: string) => known(parameters.get(key))
  return {
    version: known(top.get('version')),
    server: value('server'),
    authenticator: value('authenticator'),
    installer: value('installer'),
    keyType: keyTypeOf(parameters, known(top.get('version'))),
    reuseKey: value('reuse_key')?.toLowerCase() === 'true',
    preferredChain: value('preferred_chain'),
    renews: value('autorenew')?.toLowerCase() !== 'false',
    hooks: hookKeys.filter((key) => value(key) !== null),
  }
}

/** certbot writes None for what was never set. */
function known(text: string | undefined): string | null {
  return text === undefined || text === '' || text === 'None' ? null : text
}

/** What was not set has the default of the certbot that wrote the file: 2.0 went from RSA to EC. */
function keyTypeOf(parameters: Section, version: string | null): KeyType | null {
  const older = Number(version?.split('.')[0] ?? 2) < 2
  const type = known(parameters.get('key_type')) ?? (older ? 'rsa' : 'ecdsa')
  if (type === 'rsa') return rsaBits[known(parameters.get('rsa_key_size')) ?? '2048'] ?? null
  return type === 'ecdsa' ? (curves[known(parameters.get('elliptic_curve')) ?? 'secp256r1'] ?? null) : null
}

/** By name, without those below them: `[[webroot_map]]` names directories, which are nothing to us. */
function readSections(text: string, file: string): Map<string, Section> {
  const sections = new Map<string, Section>()
  let section: Section | null = new Map()
  sections.set('', section)
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]?.trim() ?? ''
    if (line === '' || line.startsWith('#')) continue
    const [, opening, name, closing] = /^(\[+)\s*(.*?)\s*(\]+)\s*(?:#.*)?$/.exec(line) ?? []
    if (opening !== undefined) {
      if (opening.length !== closing?.length) refuse(file, `line ${at + 1} is no section`)
      section = opening.length === 1 ? new Map() : null
      if (section) sections.set(unquoted(name ?? ''), section)
      continue
    }
    const [, key, rest] = /^("[^"]*"|'[^']*'|[^=]*?)\s*=\s*(.*)$/.exec(line) ?? []
    if (key === undefined || rest === undefined) refuse(file, `line ${at + 1} is no "key = value"`)
    const quotes = /^("""|''')/.exec(rest)?.[1]
    let value = rest
    // Text with line ends or both kinds of quotes stands in three of them, over several lines.
    for (const first = at; quotes && !value.slice(quotes.length).includes(quotes); ) {
      at += 1
      if (at >= lines.length) refuse(file, `the quotes of line ${first + 1} have no end`)
      value += `\n${lines[at]}`
    }
    section?.set(unquoted(key), quotes ? (value.split(quotes)[1] ?? '') : plain(value))
  }
  return sections
}

function plain(value: string): string {
  const [, double, single] = /^(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?$/.exec(value) ?? []
  return double ?? single ?? value.replace(/\s*#.*$/, '')
}

function unquoted(text: string): string {
  return /^(["']).*\1$/.test(text) ? text.slice(1, -1) : text
}

function refuse(file: string, fact: string): never {
  fail('IMPORT_UNREADABLE', {
    what: `${quote(file, 200)} is no renewal file of certbot`,
    fact,
    state: 'nothing was written',
    next: 'certbot certificates   (says what certbot itself makes of it)',
  })
}
