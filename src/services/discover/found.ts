import { OnecertError } from '../../base/errors.ts'
import { parseHostName } from '../../pki/names.ts'

/** What a configuration says about TLS. Paths are those of the server. */
export interface FoundSite {
  /** As they are written there: host names, also with `*`, or patterns of the software. */
  readonly names: readonly string[]
  readonly listens: readonly Listen[]
  readonly certificates: readonly FoundFiles[]
}

/** `address` null: all addresses of the machine. */
export interface Listen {
  readonly address: string | null
  readonly port: number
}

/** A pair, or one file with both; `key` null where it is in the same file as the chain. */
export interface FoundFiles {
  readonly chain: string
  readonly key: string | null
}

/** What the server's file system says of a file that a configuration names. */
export interface FileFacts {
  /** Octal, such as `640`. */
  readonly mode: string
  /** `user:group`. */
  readonly owner: string
  /** Host names in the certificate, where it is one. */
  readonly names: readonly string[]
  /** Where the path leads, if there are links in it. */
  readonly real?: string
}

export interface ConfigurationFile {
  readonly path: string
  readonly lines: readonly string[]
}

/** The files of a configuration as the receiver sends them. What stands before the first one is left out. */
export function splitFiles(lines: readonly string[]): ConfigurationFile[] {
  const files: { path: string; lines: string[] }[] = []
  for (const line of lines) {
    const [, path] = /^# configuration file (.+):$/.exec(line) ?? []
    if (path !== undefined) files.push({ path, lines: [] })
    else files.at(-1)?.lines.push(line)
  }
  return files
}

/** What the receiver says of the files that were named. */
export function fileFacts(lines: readonly string[]): Map<string, FileFacts> {
  const facts = new Map<string, FileFacts>()
  for (const line of lines) {
    const [, mode, owner, path] = /^# file ([0-7]{3,4}) ([^ ]+) (\/.+)$/.exec(line) ?? []
    if (mode && owner && path) facts.set(path, { mode, owner, names: [] })
    const [, named = '', names = ''] = /^# names (\/[^ ]+) (.+)$/.exec(line) ?? []
    const known = facts.get(named)
    if (known) facts.set(named, { ...known, names: names.trim().split(/ +/) })
    const [, link = '', real = ''] = /^# real (\/[^ ]+) (\/.+)$/.exec(line) ?? []
    const leading = facts.get(link)
    if (leading) facts.set(link, { ...leading, real })
  }
  return facts
}

/**
 * `443`, `*:443`, `192.0.2.1:443`, `[2001:db8::1]:443`; a port that is not said is `portDefault`.
 * @returns nothing for what is no address and port
 */
export function parseListen(text: string, portDefault: number): Listen[] {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s[\]:]*))(?::(\d{1,5}))?$/.exec(text)
  if (!match) return []
  const [, bracketed, plain = '', port] = match
  const alone = bracketed === undefined && port === undefined && /^\d{1,5}$/.test(plain)
  const address = alone ? '' : (bracketed ?? plain)
  const number = Number(alone ? plain : (port ?? portDefault))
  if (number < 1 || number > 65_535) return []
  return [{ address: ['', '*', '0.0.0.0', '::', '_default_'].includes(address) ? null : address, port: number }]
}

/** A word without the quotes around it. */
export function unquoted(word: string): string {
  return word.replace(/^(["'])(.*)\1$/, '$2')
}

/** The host names of a site; where the configuration has none, those of its certificate. */
export function namesOf(site: FoundSite, facts: ReadonlyMap<string, FileFacts>): string[] {
  const written = site.names.flatMap(hostName)
  const shown = site.certificates.flatMap(({ chain }) => facts.get(chain)?.names ?? []).flatMap(hostName)
  // Caddy does not say which certificate is for which name.
  return [...new Set(written.length > 0 ? written : shown)]
}

function hostName(text: string): string[] {
  try {
    return [parseHostName(text)]
  } catch (error) {
    if (!(error instanceof OnecertError)) throw error
    return []
  }
}
