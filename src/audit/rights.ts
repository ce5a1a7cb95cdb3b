import type { Acl, DiskFacts, FileFacts, FolderFacts } from '../observe/disk.ts'
import type { Service } from '../services/service.ts'
import type { Desired } from './desired.ts'
import { type Finding, finding } from './finding.ts'

/** How the files with a private key of one lineage are meant to be on a server, and who reads them there. */
export interface KeyRights extends Pick<Service, 'keyRefusal'> {
  /** Where its generations lie. */
  readonly folder: string
  /** Octal text, such as `0600`. */
  readonly mode: string
  /** `user` or `user:group`; null: nobody said. */
  readonly owner: string | null
  /** Who reads the key for the service, by account or by group; null: root, or nobody knows. */
  readonly reader: { readonly user: string } | { readonly group: string } | null
}

/**
 * The reader follows from the fleet file's `owner`, where it has one: an account, or, behind `root:`, its group. Else it is
 * the account that the software has as a rule.
 */
export function keyRights(
  { keyReader, keyRefusal }: Service,
  wanted: { readonly folder: string; readonly mode: string; readonly owner?: string },
  ownerWritten: string | undefined,
): KeyRights {
  const [user, group] = ownerWritten?.split(':') ?? []
  const written = user !== undefined && user !== 'root' ? { user } : group === undefined ? null : { group }
  return {
    folder: wanted.folder,
    mode: wanted.mode,
    owner: wanted.owner ?? null,
    reader: keyReader === 'root' ? null : (written ?? (keyReader === undefined ? null : { user: keyReader })),
    ...(keyRefusal && { keyRefusal }),
  }
}

type Owned = Pick<FileFacts, 'mode' | 'owner' | 'acl'>
type KeyFile = DiskFacts['files'][number]

/** Who can read the private keys, and whether the service can. Pure. */
export function judgeRights({ certificate }: Desired, server: string, facts: DiskFacts, rights: KeyRights): Finding[] {
  const found: Finding[] = []
  const keys = facts.files.filter(({ file }) => file !== 'fullchain.pem')
  // A link of ours leads to one of these files.
  const elsewhere = facts.paths.filter(({ kind, spki }) => kind !== 'ours' && spki !== null)
  const places = [
    ...keys.map((key) => ({ ...key, place: `${key.generation}/${key.file}`, path: pathOf(key, rights) })),
    ...elsewhere.map((key) => ({ ...key, place: key.path, path: key.path })),
  ]
  for (const { place, path, ...key } of places) {
    const base = {
      certificate,
      server,
      place,
      expected: `mode ${rights.mode}${rights.owner === null ? '' : `, ${rights.owner}`}`,
      disk: text(key),
      repair: `on ${server}: ${restore(path, key, rights)}`,
    }
    const readers = strangers(key, rights)
    if (readers.length > 0) {
      found.push(
        finding('key-readable', {
          ...base,
          what: `a private key can be read by ${readers.join(' and ')}`,
          repair: `${base.repair}; consider: onecert renew ${certificate} --rekey`,
        }),
      )
    } else if (key.acl === 'unread') {
      found.push(
        finding('key-readable', {
          ...base,
          severity: 'warning',
          what: 'a private key has an access control list, which nothing on the server can read',
          repair: `on ${server}: install getfacl (package acl); then: onecert audit`,
        }),
      )
    }
    if (!('generation' in key) || key.generation !== facts.current) continue
    const unreadable = whyUnreadable(key, facts, rights)
    if (unreadable !== null) {
      const { folder, what } = unreadable
      const pass = `let it pass: chmod o+x ${folder?.path}`
      found.push(
        finding('key-unreadable', {
          ...base,
          what,
          ...(folder && { disk: `${folder.path}: ${text(folder)}`, repair: `on ${server}: ${pass}` }),
        }),
      )
    } else if (readers.length === 0 && key.acl === null && differs(key, rights)) {
      found.push(finding('key-rights', { ...base, what: 'a key file has another owner or mode than it should' }))
    }
  }
  return found
}

const pathOf = ({ generation, file }: KeyFile, { folder }: KeyRights) => `${folder}/${generation}/${file}`

function restore(path: string, { acl }: Owned, { mode, owner }: KeyRights): string {
  return [
    ...(acl === null ? [] : [`setfacl -b ${path}`]),
    ...(owner === null ? [] : [`chown ${owner} ${path}`]),
    `chmod ${mode} ${path}`,
  ].join(' && ')
}

function text({ mode, owner, acl }: Owned): string {
  const named = acl === null || acl === 'unread' ? [] : acl.filter(({ name, kind }) => name !== '' || kind === 'mask')
  const list =
    acl === 'unread' ? 'an ACL' : named.map(({ kind, name, rights }) => `${kind}:${name}:${rights}`).join(' ')
  return [`mode ${mode}`, owner, list].filter(Boolean).join(', ')
}

/** Who can read it beside its owner, root, and those that the service or the fleet file means. */
function strangers(key: Owned, { mode, owner, reader }: KeyRights): string[] {
  const [user = '', group = ''] = key.owner?.split(':') ?? []
  // Where nobody named a group and the mode is for one, it is whichever the file came to.
  const meant = owner?.split(':')[1] ?? (bits(mode) & 0o040 ? group : user)
  const isStranger = (name: string) => name !== 'root' && name !== meant
  const named = entries(key.acl, 'read').flatMap(({ kind, name, granted }) => {
    if (!granted || name === '') return []
    if (kind === 'group') return isStranger(name) ? [`the group ${name} (by its ACL)`] : []
    const ours = name === user || name === 'root' || (reader !== null && 'user' in reader && name === reader.user)
    return ours ? [] : [`the account ${name} (by its ACL)`]
  })
  return [
    ...(bits(key.mode) & 0o004 ? ['every account of the server'] : []),
    ...(key.owner !== null && groupMay(key, 'read') && isStranger(group) ? [`the group ${group}`] : []),
    ...named,
  ]
}

/** null: it can read it, or that cannot be told. */
function whyUnreadable(
  key: KeyFile,
  { above, groups }: DiskFacts,
  { reader, keyRefusal }: KeyRights,
): { readonly folder: FolderFacts | null; readonly what: string } | null {
  if (reader === null || key.mode === null || key.owner === null) return null
  // An account that is not there is not the one that the service has here.
  if ('user' in reader && groups === null) return null
  const who = 'user' in reader ? { user: reader.user, groups: groups ?? [] } : { user: null, groups: [reader.group] }
  const name = 'user' in reader ? `the account ${reader.user}` : `the group ${reader.group}`
  const folder = above.find((each) => may(who, each, 'pass') === false)
  if (folder)
    return { folder, what: `${name}, which reads the private key for the service, cannot pass ${folder.path}` }
  if (may(who, key, 'read') === false)
    return { folder: null, what: `${name}, which reads the private key for the service, cannot read it` }
  const refusal = keyRefusal?.({ mode: bits(key.mode), user: key.owner.split(':')[0] ?? '' }) ?? null
  return refusal === null ? null : { folder: null, what: refusal }
}

type Right = 'read' | 'pass'
const rightBits: Record<Right, number> = { read: 0o4, pass: 0o1 }

/** As acl(5) decides: owner, named accounts, groups, others; the first that fits. null: an ACL that nobody could read. */
function may(
  who: { readonly user: string | null; readonly groups: readonly string[] },
  { mode, owner, acl }: Owned,
  right: Right,
): boolean | null {
  const [user, group = ''] = owner?.split(':') ?? []
  const bit = rightBits[right]
  if (who.user !== null && who.user === user) return (bits(mode) & (bit << 6)) !== 0
  if (acl === 'unread') return null
  const listed = entries(acl, right)
  const own = listed.find(({ kind, name }) => kind === 'user' && name !== '' && name === who.user)
  if (own) return own.granted
  const fitting = [
    ...(who.groups.includes(group) ? [groupMay({ mode, owner, acl }, right)] : []),
    ...listed.flatMap(({ kind, name, granted }) => (kind === 'group' && who.groups.includes(name) ? [granted] : [])),
  ]
  if (fitting.length > 0) return fitting.includes(true)
  return (bits(mode) & bit) !== 0
}

/** The group of the file. Where there is an ACL, the mode shows its mask in the place of the group. */
function groupMay({ mode, acl }: Owned, right: Right): boolean {
  const own = entries(acl, right).find(({ kind, name }) => kind === 'group' && name === '')
  if (own) return own.granted
  return acl !== 'unread' && (bits(mode) & (rightBits[right] << 3)) !== 0
}

/** What each entry comes to under the mask. */
function entries(acl: Acl | null, right: Right) {
  if (acl === null || acl === 'unread') return []
  const has = ({ rights }: { readonly rights: string }) => rights.includes(right === 'read' ? 'r' : 'x')
  const mask = acl.find(({ kind }) => kind === 'mask')
  return acl
    .filter(({ kind }) => kind === 'user' || kind === 'group')
    .map((entry) => ({ ...entry, granted: has(entry) && (mask === undefined || has(mask)) }))
}

function differs(key: Owned, { mode, owner }: KeyRights): boolean {
  const [user, group] = key.owner?.split(':') ?? []
  const [wantedUser, wantedGroup] = owner?.split(':') ?? []
  return (
    (key.mode !== null && bits(key.mode) !== bits(mode)) ||
    (key.owner !== null && wantedUser !== undefined && user !== wantedUser) ||
    (key.owner !== null && wantedGroup !== undefined && group !== wantedGroup)
  )
}

/** Unknown ones give nobody anything. */
function bits(mode: string | null): number {
  return mode === null ? 0 : Number.parseInt(mode, 8)
}
