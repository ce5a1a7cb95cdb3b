import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { explainRead, readBounded } from '../base/durable.ts'
import { fail, OnecertError, quote, systemCode } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'
import type { Additions } from '../fleet/entries.ts'
import { type CertbotRenewal, readCertbotRenewal } from '../issue/certbot.ts'
import { parseCertificates, type X509 } from '../pki/certificate.ts'
import { parseHostName } from '../pki/names.ts'
import { instant, listed } from '../pki/text.ts'

/** What certbot has, and what of it a fleet file can say. */
export interface CertbotImport {
  /** Absolute. */
  readonly directory: string
  readonly lineages: readonly CertbotLineage[]
  /** Lineages that could not be read, each with its reason. */
  readonly skipped: readonly OnecertError[]
  /** Files in renewal-hooks/, which certbot runs for every lineage. */
  readonly hookFiles: readonly string[]
}

export interface CertbotLineage {
  /** As certbot calls it. */
  readonly name: string
  /** As the fleet file can call it. */
  readonly entry: string
  /** Where its newest files are. */
  readonly directory: string
  readonly names: readonly string[]
  readonly notAfterMs: number
  readonly renewal: CertbotRenewal
  /** What a fleet file cannot say, or what is to be known, one line each. */
  readonly notes: readonly string[]
}

const renewalBytesMax = 64 * 1024
const lineagesMax = 1_000

/**
 * Reads certbot's own directory: renewal/*.conf, and the certificates in live/. No private key is opened.
 * @throws OnecertError IMPORT_NOTHING_FOUND, INPUT_UNREADABLE
 */
export async function readCertbot(given: string): Promise<CertbotImport> {
  const directory = resolve(given)
  const files = (await namesIn(join(directory, 'renewal'))).filter((name) => name.endsWith('.conf'))
  const lineages: CertbotLineage[] = []
  const skipped: OnecertError[] = []
  for (const file of files.slice(0, lineagesMax)) {
    try {
      const taken = lineages.map(({ entry }) => entry)
      lineages.push(await readLineage(directory, file.slice(0, -'.conf'.length), taken))
    } catch (error) {
      if (!(error instanceof OnecertError)) throw error
      skipped.push(error)
    }
  }
  if (lineages.length === 0) {
    fail('IMPORT_NOTHING_FOUND', {
      what: `certbot has no certificate in ${quote(directory, 200)} that could be taken over`,
      fact:
        files.length === 0 ? 'there is no renewal/NAME.conf in it' : `${files.length} were read, and none can be used`,
      state: 'nothing was written',
      next: 'name the directory that certbot has as --config-dir: onecert import --from-certbot=DIR',
      also: skipped,
    })
  }
  return { directory, lineages, skipped, hookFiles: await hookFilesIn(directory) }
}

async function readLineage(directory: string, name: string, taken: readonly string[]): Promise<CertbotLineage> {
  const file = join(directory, 'renewal', `${name}.conf`)
  const text = Buffer.from(await readBounded(file, { bytesMax: renewalBytesMax })).toString('utf8')
  const renewal = readCertbotRenewal(text, file)
  const live = join(directory, 'live', name)
  const certificate = join(live, 'cert.pem')
  const [leaf] = parseCertificates(await readBounded(certificate, { bytesMax: inputBytesMax }), { file: certificate })
  const { names, others } = namesOf(leaf)
  if (!leaf || names.length === 0) {
    fail('IMPORT_UNREADABLE', {
      what: `the certificate ${quote(certificate, 200)} names no host that a fleet file can name`,
      fact: `it has ${listed(others)}`,
      state: 'nothing was written',
    })
  }
  const entry = entryName(name, taken)
  const notes = notesOf(leaf, renewal, others)
  if (entry !== name) notes.unshift(`certbot calls it ${quote(name)}`)
  return { name, entry, directory: live, names, notAfterMs: leaf.notAfterMs, renewal, notes }
}

function namesOf(leaf: X509 | undefined): { names: string[]; others: string[] } {
  const names: string[] = []
  const others = (leaf?.addresses ?? []).map((each) => quote(each))
  for (const name of leaf?.names ?? []) {
    try {
      names.push(parseHostName(name))
    } catch (error) {
      if (!(error instanceof OnecertError)) throw error
      others.push(quote(name))
    }
  }
  return { names: [...new Set(names)], others }
}

function notesOf(leaf: X509, renewal: CertbotRenewal, others: readonly string[]): string[] {
  const { server, hooks, installer, keyType, preferredChain } = renewal
  const notes: string[] = []
  const note = (seen: unknown, text: string) => void (seen && notes.push(text))
  note(others.length > 0, `it also has ${listed(others)}, which a fleet file cannot name`)
  note(!renewal.renews, 'certbot was told not to renew it (autorenew)')
  note(server?.includes('staging'), 'it is from a CA for tests: browsers do not trust it')
  note(keyType === null, 'its next key is of a kind that onecert does not make')
  note(
    keyType !== null && keyType !== leaf.keyType,
    `its key is ${quote(leaf.keyType)} now, the next one will be ${keyType}`,
  )
  note(
    preferredChain,
    `the chain "${quote(preferredChain ?? '')}" is asked for; what certbot keeps is carried as it is`,
  )
  note(
    installer,
    `the installer ${quote(installer ?? '')} reloads the service here; its paths may stand at "files" of this server`,
  )
  note(hooks.length > 0, `certbot runs ${hooks.join(', ')} for it; these are not taken over`)
  return notes
}

/** The names of a fleet file are narrower than those of certbot. */
function entryName(name: string, taken: readonly string[]): string {
  const cleaned = name
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^a-z0-9]+/, '')
  const base = cleaned.slice(0, 59) || 'certbot'
  let entry = base
  for (let number = 2; taken.includes(entry); number++) entry = `${base}-${number}`
  return entry
}

async function hookFilesIn(directory: string): Promise<string[]> {
  const files: string[] = []
  for (const kind of ['pre', 'deploy', 'post']) {
    const names = await namesIn(join(directory, 'renewal-hooks', kind)).catch(() => [])
    files.push(...names.map((name) => `renewal-hooks/${kind}/${name}`))
  }
  return files
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) return []
    throw await explainRead(error, directory)
  }
}

/** A pair that certbot keeps may stay as long as one of ours does by default; else each renewal has a new one. */
const keepFor = { reused: '365d', renewed: '0d' } as const

/** The issuers and certificates of a fleet file that say the same. */
export function fleetEntries({ lineages }: CertbotImport): Additions {
  return {
    issuers: lineages.map(({ entry, directory, renewal: { server, authenticator, version } }) => ({
      name: entry,
      value: { watch: directory },
      comments: [
        `certbot ${quote(version ?? 'of an unknown version')} gets it from ${quote(server ?? 'an unknown CA', 200)} by ${quote(authenticator ?? 'unknown means')}`,
      ],
    })),
    certificates: lineages.map(({ entry, names, renewal: { keyType, reuseKey }, notAfterMs, notes }) => ({
      name: entry,
      value: {
        names,
        issuer: entry,
        key: { ...(keyType && { type: keyType }), 'keep-for': reuseKey ? keepFor.reused : keepFor.renewed },
      },
      comments: [
        `valid until ${instant(notAfterMs)}; certbot ${reuseKey ? 'keeps its key (reuse_key)' : 'makes a new key at each renewal: certbot renew --reuse-key keeps it'}`,
        ...notes,
      ],
    })),
  }
}
