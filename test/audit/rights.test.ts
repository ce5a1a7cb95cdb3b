import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Desired } from '../../src/audit/desired.ts'
import { judgeRights, type KeyRights, keyRights } from '../../src/audit/rights.ts'
import type { Acl, DiskFacts, FileFacts, FolderFacts } from '../../src/observe/disk.ts'
import { serviceOf } from '../../src/services/drivers.ts'

const desired: Desired = {
  certificate: 'www',
  newest: null,
  numbers: new Map(),
  generations: new Map(),
  keys: new Set(['key8']),
}
const folder = '/etc/onecert/www'
const nginx = keyRights(serviceOf({ kind: 'nginx' }), { folder, mode: '0600' }, undefined)
const grouped = keyRights(
  serviceOf({ kind: 'nginx' }),
  { folder, mode: '0640', owner: 'root:ssl-cert' },
  'root:ssl-cert',
)
const driven = (kind: 'caddy' | 'postgresql') => {
  const service = serviceOf({ kind })
  const { keyMode: mode = '', keyOwner } = service
  return keyRights(service, { folder, mode, ...(keyOwner !== undefined && { owner: keyOwner }) }, undefined)
}
const caddy = driven('caddy')
const postgresql = driven('postgresql')

/** As getfacl has it. */
const acl = (...lines: readonly string[]): Acl =>
  lines.map((line) => {
    const [kind = '', name = '', rights = ''] = line.split(':')
    return { kind: kind as 'user', name, rights }
  })
const above = (mode: string, owner: string, list: Acl | null = null): FolderFacts => ({
  path: '/etc/onecert',
  mode,
  owner,
  acl: list,
})

type Given = Partial<FileFacts> & { readonly facts?: Partial<DiskFacts> }

function judged(rights: KeyRights, { facts, ...key }: Given) {
  const file = { mode: '600', owner: 'root:root', hash: 'empty', spki: 'key8', acl: null, ...key }
  return judgeRights(
    desired,
    'eu-1',
    {
      current: 'gen-0008',
      files: [
        { ...file, generation: 'gen-0008', file: 'privkey.pem' },
        { ...file, generation: 'gen-0008', file: 'fullchain.pem', mode: '644', spki: null },
      ],
      paths: [],
      above: [],
      groups: ['caddy', 'postgres'],
      clockMs: 0,
      atMs: 0,
      told: true,
      ...facts,
    },
    rights,
  )
}
const reasons = (...given: Parameters<typeof judged>) =>
  judged(...given).map(({ reason, severity }) => `${reason} ${severity}`)
const told = (...given: Parameters<typeof judged>) => judged(...given).map(({ what }) => what)

const readable = ['key-readable critical']
const unreadable = ['key-unreadable critical']

describe('who else can read a key', () => {
  for (const [what, rights, given, expected] of [
    ['nobody', nginx, {}, []],
    ['every account', nginx, { mode: '644' }, readable],
    ['every account, and write it', nginx, { mode: '606' }, readable],
    ['every account, and nothing is known of whose key it is', nginx, { mode: '644', spki: null }, readable],
    ['a group that nobody named', nginx, { mode: '640', owner: 'root:users' }, readable],
    ['the group that the fleet file names', grouped, { mode: '640', owner: 'root:ssl-cert' }, []],
    ['another group than the one that it names', grouped, { mode: '640', owner: 'root:users' }, readable],
    ['the group of an account alone', nginx, { mode: '640', owner: 'deploy:deploy' }, ['key-rights warning']],
    ['the group of root', nginx, { mode: '640', owner: 'root:root' }, ['key-rights warning']],
    [
      'an account that an ACL names',
      nginx,
      { mode: '640', acl: acl('user:deploy:r--', 'group::---', 'mask::r--') },
      readable,
    ],
    [
      'a group that an ACL names',
      nginx,
      { mode: '640', acl: acl('group:ops:r-x', 'group::---', 'mask::r--') },
      readable,
    ],
    ['one that the mask takes it from', nginx, { acl: acl('user:deploy:r--', 'group::---', 'mask::---') }, []],
    ['root, by an ACL', nginx, { mode: '640', acl: acl('user:root:r--', 'group::---', 'mask::r--') }, []],
    [
      'the account of the service, by an ACL',
      caddy,
      { mode: '640', acl: acl('user:caddy:r--', 'group::---', 'mask::r--') },
      [],
    ],
    ['an ACL that nobody could read', nginx, { mode: '640', acl: 'unread' }, ['key-readable warning']],
  ] as const) {
    test(what, () => assert.deepEqual(reasons(rights, given), expected))
  }

  test('the mode of a file with an ACL is its mask, not its group', () => {
    const list = acl('user:deploy:r--', 'group::---', 'mask::r--')
    assert.deepEqual(told(nginx, { mode: '640', owner: 'root:users', acl: list }), [
      'a private key can be read by the account deploy (by its ACL)',
    ])
  })

  test('what is to be done is a command for the whole path', () => {
    const [only] = judged(grouped, { mode: '644', owner: 'root:users', acl: acl('user:deploy:r--', 'mask::r--') })
    const path = '/etc/onecert/www/gen-0008/privkey.pem'
    assert.equal(
      only?.repair,
      `on eu-1: setfacl -b ${path} && chown root:ssl-cert ${path} && chmod 0640 ${path}; consider: onecert renew www --rekey`,
    )
    assert.equal(only?.disk, 'mode 644, root:users, user:deploy:r-- mask::r--')
    assert.equal(only?.expected, 'mode 0640, root:ssl-cert')
  })

  test('at an explicit path, where it is no link of ours', () => {
    const key = { mode: '644', owner: 'root:root', hash: 'empty', spki: 'key8', acl: null, path: '/etc/www.key' }
    const places = (kind: 'ours' | 'file') =>
      judged(nginx, { facts: { paths: [{ ...key, kind }] } }).map(({ place }) => place)
    assert.deepEqual(places('file'), ['/etc/www.key'])
    assert.deepEqual(places('ours'), [])
  })
})

describe('whether the service can read its key', () => {
  const right = { mode: '640', owner: 'root:caddy' }
  const forPostgres = { mode: '640', owner: 'root:postgres' }
  for (const [what, rights, given, expected] of [
    ['nginx reads it as root, whatever the mode', nginx, { mode: '0' }, ['key-rights warning']],
    ['Caddy by its group', caddy, right, []],
    ['Caddy, and it is for root alone', caddy, { mode: '600', owner: 'root:root' }, unreadable],
    [
      'Caddy, whose own rights are less than those of its group',
      caddy,
      { mode: '040', owner: 'caddy:caddy' },
      unreadable,
    ],
    ['Caddy by another of its groups', caddy, { ...right, owner: 'root:postgres' }, readable],
    ['Caddy by an ACL', caddy, { mode: '640', acl: acl('user:caddy:r--', 'group::---', 'mask::r--') }, []],
    [
      'Caddy, whose ACL the mask makes nothing of',
      caddy,
      { mode: '600', acl: acl('user:caddy:r--', 'group::---', 'mask::---') },
      unreadable,
    ],
    ['Caddy, and an ACL that nobody could read', caddy, { mode: '600', acl: 'unread' }, ['key-readable warning']],
    [
      'Caddy, and a folder that it cannot pass',
      caddy,
      { ...right, facts: { above: [above('700', 'root:root')] } },
      unreadable,
    ],
    ['Caddy, and a folder for its group', caddy, { ...right, facts: { above: [above('750', 'root:caddy')] } }, []],
    [
      'Caddy, and a folder that an ACL opens to it',
      caddy,
      { ...right, facts: { above: [above('750', 'root:root', acl('user:caddy:--x', 'group::---', 'mask::r-x'))] } },
      [],
    ],
    ['no such account: it is not the one that runs there', caddy, { facts: { groups: null } }, ['key-rights warning']],
    ['PostgreSQL by its group, of root', postgresql, forPostgres, []],
    [
      'PostgreSQL takes no key of its own with a group',
      postgresql,
      { mode: '640', owner: 'postgres:postgres' },
      unreadable,
    ],
    [
      'PostgreSQL takes no key that others can read',
      postgresql,
      { ...forPostgres, mode: '644' },
      [...readable, ...unreadable],
    ],
    ['a key of an older generation is nothing that it reads', caddy, { facts: { current: 'gen-0007' } }, []],
  ] as const) {
    test(what, () => assert.deepEqual(reasons(rights, given), expected))
  }

  test('the fleet file says who reads it, where it names an owner', () => {
    const traefik = (owner: string) =>
      keyRights(serviceOf({ kind: 'traefik' }), { folder, mode: '0640', owner }, owner).reader
    assert.deepEqual(traefik('traefik:traefik'), { user: 'traefik' })
    assert.deepEqual(traefik('root:traefik'), { group: 'traefik' })
    assert.equal(traefik('root'), null)
    const rights = keyRights(
      serviceOf({ kind: 'traefik' }),
      { folder, mode: '0640', owner: 'root:traefik' },
      'root:traefik',
    )
    assert.deepEqual(reasons(rights, { mode: '640', owner: 'root:root' }), unreadable)
    assert.deepEqual(reasons(rights, { mode: '640', owner: 'root:traefik' }), [])
  })
})

test('another owner or mode than it should have, once, and only of what is read now', () => {
  assert.deepEqual(reasons(grouped, { mode: '600', owner: 'root:ssl-cert' }), ['key-rights warning'])
  assert.deepEqual(reasons(grouped, { mode: '640', owner: 'deploy:ssl-cert' }), ['key-rights warning'])
  assert.deepEqual(reasons(grouped, { mode: '600', owner: 'root:ssl-cert', facts: { current: 'gen-0009' } }), [])
  assert.deepEqual(reasons(nginx, { mode: '600', owner: 'deploy:deploy' }), [], 'nobody said whose it should be')
})
