import { fail, quote } from '../base/errors.ts'

/** What is asked of a receiver (receiver/): one verb, one answer. */
export type Ask = (
  verb: 'look' | 'keys',
  words: readonly string[],
) => Promise<{
  readonly ok: boolean
  readonly facts: ReadonlyMap<string, string>
  readonly output: readonly string[]
}>

/** A file on a server. */
export interface FileFacts {
  /** Octal, such as `600`; null: unknown. */
  readonly mode: string | null
  /** `user:group`. */
  readonly owner: string | null
  /** SHA-256 (lower hex) of its text, without a private key; null: it cannot be read. */
  readonly hash: string | null
  /** SHA-256 of the SubjectPublicKeyInfo of the key in it, computed on the server; null: none, or no openssl there. */
  readonly spki: string | null
  readonly acl: Acl | null
}

/** POSIX access control list; `unread`: there is one, and nothing on the server that could read it. */
export type Acl = readonly AclEntry[] | 'unread'

export interface AclEntry {
  readonly kind: 'user' | 'group' | 'mask' | 'other'
  /** Empty: the owner, the group of the file. */
  readonly name: string
  /** Such as `r--`. */
  readonly rights: string
}

/** A folder on the way to the key that not everybody may pass. */
export interface FolderFacts extends Pick<FileFacts, 'mode' | 'owner' | 'acl'> {
  readonly path: string
}

const pathKinds = ['ours', 'link', 'file', 'missing'] as const

/** What lies on a server of one lineage. */
export interface DiskFacts {
  /** The generation that the service is to read; null: none. */
  readonly current: string | null
  readonly files: readonly (FileFacts & { readonly generation: string; readonly file: string })[]
  /** The paths that the service's configuration names: `ours` leads into `current`. */
  readonly paths: readonly (FileFacts & {
    readonly path: string
    readonly kind: (typeof pathKinds)[number]
  })[]
  readonly above: readonly FolderFacts[]
  /** Of the account that was asked about; null: there is no such account, or none was asked about. */
  readonly groups: readonly string[] | null
  /** Its own clock. */
  readonly clockMs: number
  /** Our clock, at the same moment. */
  readonly atMs: number
  /** False: there is no openssl there, so that no key could be told from another. */
  readonly told: boolean
}

/** Private keys on a server, wherever they lie in the folders that were searched. */
export interface KeyFacts {
  readonly keys: readonly {
    readonly path: string
    readonly mode: string
    readonly owner: string
    readonly spki: string | null
  }[]
  /** False: the search was cut short. */
  readonly whole: boolean
  /** False: there is no openssl there, so that no key could be told from another. */
  readonly told: boolean
}

/**
 * @param nowMs our clock
 * @param account whose groups are asked for
 * @throws OnecertError RECEIVER_PROTOCOL
 */
export async function lookOnDisk(
  ask: Ask,
  nowMs: () => number,
  lineage: string,
  account: string | null = null,
): Promise<DiskFacts> {
  const { ok, facts, output } = await ask('look', account === null ? [lineage] : [lineage, account])
  const atMs = nowMs()
  if (!ok) fail('RECEIVER_PROTOCOL', { what: `the files of ${lineage} could not be looked at` })
  const files: DiskFacts['files'][number][] = []
  const paths: DiskFacts['paths'][number][] = []
  const above: FolderFacts[] = []
  for (const line of output) {
    const [, itsMode, itsOwner = '', itsAcl = '', folder] = /^above (\S+) (\S+) (\S+) (.+)$/.exec(line) ?? []
    if (itsMode !== undefined && folder !== undefined) {
      above.push({ path: folder, mode: itsMode, owner: itsOwner, acl: aclOf(itsAcl) })
      continue
    }
    const [place = '', name = '', mode = '-', owner = '-', hash = '-', spki = '-', acl = '-'] = line.split(' ')
    const found = { mode: known(mode), owner: known(owner), hash: known(hash), spki: known(spki), acl: aclOf(acl) }
    const kind = pathKinds.find((each) => place === `path=${each}`)
    if (kind) paths.push({ ...found, path: name, kind })
    else if (/^gen-\d+(\.\d+)?$/.test(place)) files.push({ ...found, generation: place, file: name })
    else
      fail('RECEIVER_PROTOCOL', { what: `an answer about the files of ${lineage} cannot be read`, fact: quote(line) })
  }
  return {
    current: known(facts.get('current') ?? '-'),
    files,
    paths,
    above,
    groups: known(facts.get('groups') ?? '-')?.split(',') ?? null,
    clockMs: Number(facts.get('clock')) * 1000,
    atMs,
    told: facts.get('openssl') === 'yes',
  }
}

/** @throws OnecertError RECEIVER_PROTOCOL, SERVER_TOOL_MISSING */
export async function lookForKeys(ask: Ask): Promise<KeyFacts> {
  const { ok, facts, output } = await ask('keys', [])
  if (!ok)
    fail('SERVER_TOOL_MISSING', { what: 'private keys cannot be looked for on the server', fact: 'it has no grep' })
  const keys = output.flatMap((line) => {
    const [, mode = '', owner = '', spki = '', path = ''] = /^(\S+) (\S+) (\S+) (.+)$/.exec(line) ?? []
    return path === '' ? [] : [{ path, mode, owner, spki: known(spki) }]
  })
  return { keys, whole: facts.get('whole') === 'yes', told: facts.get('openssl') === 'yes' }
}

function known(word: string): string | null {
  return word === '-' ? null : word
}

/** What a receiver says of one: `user:deploy:r--,group::---,mask::r--`. */
function aclOf(word: string): Acl | null {
  if (word === '-') return null
  const entries = word.split(',').flatMap((entry): AclEntry[] => {
    const [, kind, name = '', rights = ''] = /^(user|group|mask|other):([^:]*):([r-][w-][x-])$/.exec(entry) ?? []
    return kind === undefined ? [] : [{ kind: kind as AclEntry['kind'], name, rights }]
  })
  return entries.length === 0 ? 'unread' : entries
}
