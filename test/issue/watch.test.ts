import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Order } from '../../src/issue/issuer.ts'
import { issuerOf } from '../../src/issue/issuers.ts'
import { type Bundle, fullchainPem } from '../../src/pki/bundle.ts'
import { privateKeyPem, spkiOf } from '../../src/pki/key.ts'
import { type Authority, createAuthority, type Order as Purchase, type Sold } from '../authority.ts'
import { asNobody } from '../base/account.ts'
import { printed, refusalOf } from '../base/refusals.ts'
import { type CertbotKind, layouts, writeCertbot } from '../clients.ts'
import { openKeeper, orderOf } from './keeper.ts'

const names = ['www.lab.example']
const authority = await createAuthority()

interface Offered {
  readonly bundle: Bundle | null
  readonly waits: readonly string[]
}

/** A vault, and a directory that a client keeps. */
async function start(below = 'live/www.lab.example') {
  const keeper = await openKeeper()
  const directory = keeper.directory.file(below)
  await mkdir(directory, { recursive: true })
  const look = async (wanted: Partial<Order> = {}): Promise<Offered> => {
    const waits: string[] = []
    const issuer = issuerOf({ kind: 'watch', name: 'kept', directory }, keeper.tools)
    const bundle = await issuer.issue(orderOf({ names, onWait: (reason) => waits.push(reason), ...wanted }))
    return { bundle, waits }
  }
  return {
    directory,
    keys: keeper.keys,
    look,
    /** With this one as the newest generation. */
    after: (newest: Bundle, wanted: Partial<Order> = {}) =>
      look({ newest: newest.leaf.fingerprint, newestFromMs: newest.leaf.notBeforeMs, ...wanted }),
    async taken(wanted: Partial<Order> = {}): Promise<Bundle> {
      const { bundle, waits } = await look(wanted)
      assert.deepEqual(waits, [])
      assert.ok(bundle)
      return bundle
    },
    certbot: (sold: Sold, number: number, kinds?: readonly CertbotKind[]) =>
      writeCertbot(directory, { sold, intermediatePem: authority.intermediatePem, number }, kinds),
    put: (file: string, text: string | Uint8Array) => writeFile(join(directory, file), text),
    [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose](),
  }
}

const sell = (order: Partial<Purchase> = {}, from: Authority = authority) => from.sell({ names, ...order })

for (const { client, directory, write } of layouts) {
  test(`what ${client} keeps is found by what the files hold, and its renewal too`, async () => {
    await using place = await start(directory)
    const { intermediatePem } = authority
    const first = await sell({ fromDay: -2 })
    await write(place.directory, { sold: first, intermediatePem, number: 1 })
    const bundle = await place.taken()
    assert.equal(fullchainPem(bundle), first.leafPem + intermediatePem)
    assert.equal(spkiOf(bundle.key), bundle.spki)
    assert.equal((await place.keys.get('www', bundle.spki)).reveal(), privateKeyPem(bundle.key).reveal())
    assert.deepEqual(await place.after(bundle), { bundle: null, waits: [] })

    const second = await sell({ fromDay: -1 })
    await write(place.directory, { sold: second, intermediatePem, number: 2 })
    const renewed = await place.after(bundle)
    assert.equal(renewed.bundle?.leaf.fingerprint, second.fingerprint)
    assert.deepEqual(renewed.waits, [])
  })
}

test('a renewal with the same key needs no key file once the vault has it', async () => {
  await using place = await start()
  const first = await sell({ fromDay: -2 })
  await place.certbot(first, 1)
  const bundle = await place.taken()
  await rm(join(place.directory, 'privkey.pem'))
  await place.certbot(await sell({ keys: first.keys }), 2, ['cert', 'chain', 'fullchain'])
  const renewed = await place.after(bundle)
  assert.equal(renewed.bundle?.spki, bundle.spki)
  assert.equal(renewed.bundle && spkiOf(renewed.bundle.key), bundle.spki)
  assert.deepEqual((await place.keys.list()).length, 1)
})

const halfway: readonly (readonly [what: string, kinds: readonly CertbotKind[], told: RegExp])[] = [
  [
    'its new leaf, and not the key',
    ['cert'],
    /^the private key of the certificate "www\.lab\.example" from .* is not in /,
  ],
  ['its new key, and not the leaf', ['privkey'], /^the certificate for the key in .*privkey\.pem is not there yet$/],
]

for (const [what, kinds, told] of halfway) {
  test(`a renewal of which only ${what} is there is waited for, then taken`, async () => {
    await using place = await start()
    await place.certbot(await sell({ fromDay: -2 }), 1)
    const bundle = await place.taken()
    const second = await sell()
    await place.certbot(second, 2, kinds)
    const waited = await place.after(bundle)
    assert.equal(waited.bundle, null)
    assert.equal(waited.waits.length, 1)
    assert.match(waited.waits[0] ?? '', told)
    assert.equal((await place.keys.list()).length, 1, 'no key was stored')
    await place.certbot(second, 2)
    const { bundle: renewed, waits } = await place.after(bundle)
    assert.deepEqual([renewed?.leaf.fingerprint, waits], [second.fingerprint, []])
  })
}

test('a certificate that is just being written is waited for', async () => {
  await using place = await start('tls')
  const first = await sell({ fromDay: -2 })
  await place.put('tls.key', first.keyPem)
  await place.put('tls.crt', first.leafPem + authority.intermediatePem)
  const bundle = await place.taken()
  const second = await sell()
  for (const [part, told] of [
    [0, /no certificate is in .*tls: .*tls\.crt is empty/],
    [300, /no certificate is in .*tls: .*tls\.crt holds a damaged CERTIFICATE/],
  ] as const) {
    await place.put('tls.crt', second.leafPem.slice(0, part))
    const { bundle: none, waits } = await place.after(bundle)
    assert.equal(none, null)
    assert.match(waits.join('\n'), told)
  }
  await place.put('old.crt', first.leafPem)
  assert.match((await place.after(bundle)).waits.join('\n'), /tls\.crt holds a damaged CERTIFICATE/)
})

test('a chain that is not there yet is waited for', async () => {
  await using place = await start('tls')
  const first = await sell({ fromDay: -2 })
  await place.put('tls.key', first.keyPem)
  await place.put('tls.crt', first.leafPem + authority.intermediatePem)
  const bundle = await place.taken()
  const other = await createAuthority('Other')
  const second = await sell({}, other)
  await place.put('tls.key', second.keyPem)
  await place.put('tls.crt', second.leafPem)
  const { bundle: none, waits } = await place.after(bundle)
  assert.equal(none, null)
  assert.match(waits.join('\n'), /^the chain ends at certificate 1 /)
  await place.put('ca.crt', other.intermediatePem)
  assert.equal((await place.after(bundle)).bundle?.leaf.fingerprint, second.fingerprint)
})

test('an older certificate than the newest generation is nothing new', async () => {
  await using place = await start()
  await place.certbot(await sell({ fromDay: -1 }), 2)
  const bundle = await place.taken()
  await place.certbot(await sell({ fromDay: -20 }), 1)
  assert.deepEqual(await place.after(bundle), { bundle: null, waits: [] })
  assert.equal((await place.keys.list()).length, 1)
})

test('of several that are complete the newest one that covers the names is taken', async () => {
  await using place = await start('certificates')
  const wanted = await sell({ fromDay: -3, toDay: 40 })
  const all = [
    ['old', await sell({ fromDay: -5, toDay: 300 })],
    ['wanted', wanted],
    ['other', await sell({ names: ['api.lab.example'], fromDay: -1 })],
  ] as const
  for (const [file, { leafPem, keyPem }] of all) {
    await place.put(`${file}.crt`, leafPem + authority.intermediatePem)
    await place.put(`${file}.key`, keyPem)
  }
  const bundle = await place.taken()
  assert.equal(bundle.leaf.fingerprint, wanted.fingerprint)
  assert.deepEqual(await place.after(bundle), { bundle: null, waits: [] })
})

test('while a newer one is not complete, an earlier one that is new too is taken', async () => {
  await using place = await start()
  await place.certbot(await sell({ fromDay: -2 }), 1)
  await place.put('next.pem', (await sell()).leafPem)
  const { bundle, waits } = await place.look()
  assert.ok(bundle)
  assert.match(waits.join('\n'), /^the private key of the certificate /)
})

test('the chain is the one beside the leaf, and not a longer one that others there would give', async () => {
  await using place = await start('tls')
  const sold = await sell()
  const stranger = await createAuthority('Stranger')
  await place.put('tls.pem', sold.keyPem + sold.leafPem + authority.intermediatePem)
  await place.put('ca-old.pem', (await stranger.crossSign(authority.rootPem)) + stranger.rootPem)
  assert.equal(fullchainPem(await place.taken()), sold.leafPem + authority.intermediatePem)
})

test('pipes, devices, large files, links to nowhere and directories are passed over', { timeout: 10_000 }, async () => {
  await using place = await start()
  const sold = await sell()
  await place.certbot(sold, 1)
  assert.equal(spawnSync('mkfifo', [join(place.directory, 'pipe.pem')]).status, 0)
  await symlink('/dev/zero', join(place.directory, 'zero.pem'))
  await symlink('nowhere', join(place.directory, 'gone.pem'))
  await symlink('/', join(place.directory, 'root.pem'))
  await mkdir(join(place.directory, 'backup.pem'))
  await place.put('large.pem', sold.leafPem.repeat(2_000))
  await place.put('box.p12', Buffer.from('3082000a', 'hex'))
  assert.equal((await place.taken()).leaf.fingerprint, sold.fingerprint)
})

test('a directory with more files than any client keeps is refused', async () => {
  await using place = await start('many')
  for (let from = 0; from < 2_001; from += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, at) => place.put(`${from + at}`, '')))
  }
  const error = await refusalOf(() => place.look())
  assert.equal(error.code, 'INPUT_TOO_LARGE')
  assert.match(error.failure.fact ?? '', /more than 2000 files/)
})

interface Refused {
  readonly what: string
  readonly prepare: (place: Awaited<ReturnType<typeof start>>) => Promise<unknown>
  readonly code: string
  readonly told: RegExp
}

const refused: readonly Refused[] = [
  {
    what: 'a directory that is not there',
    prepare: ({ directory }) => rm(directory, { recursive: true }),
    code: 'INPUT_NOT_FOUND',
    told: /www\.lab\.example is not there/,
  },
  {
    what: 'a file in place of the directory',
    prepare: async ({ directory }) => {
      await rm(directory, { recursive: true })
      await writeFile(directory, '')
    },
    code: 'INPUT_NOT_A_DIRECTORY',
    told: /is a file, not a directory.*name the directory that it is in/s,
  },
  {
    what: 'an empty directory',
    prepare: async () => {},
    code: 'WATCH_NOTHING_FOUND',
    told: /no certificate is in /,
  },
  {
    what: 'a certificate without its key',
    prepare: async ({ certbot }) => certbot(await sell(), 1, ['cert', 'chain', 'fullchain']),
    code: 'WATCH_INCOMPLETE',
    told: /it has SPKI [0-9a-f]{8}….*keys there: none/s,
  },
  {
    what: 'the key of another certificate',
    prepare: async ({ certbot, put }) => {
      await certbot(await sell(), 1, ['cert', 'chain', 'fullchain'])
      await put('privkey.pem', (await sell()).keyPem)
    },
    code: 'WATCH_INCOMPLETE',
    told: /keys there: [0-9a-f]{8}…/,
  },
  {
    what: 'an encrypted key',
    prepare: async ({ put }) => {
      await put('www.crt', (await sell()).leafPem)
      await put(
        'www.key',
        '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqG\n-----END ENCRYPTED PRIVATE KEY-----\n',
      )
    },
    code: 'WATCH_INCOMPLETE',
    told: /the private key in .*www\.key is encrypted/,
  },
  {
    what: 'a certificate for other names',
    prepare: async ({ certbot }) => certbot(await sell({ names: ['api.lab.example'] }), 1),
    code: 'CERT_NAME_MISSING',
    told: /does not cover www\.lab\.example/,
  },
  {
    what: 'a certificate that has ended',
    prepare: async ({ certbot }) => certbot(await sell({ fromDay: -90, toDay: -1 }), 1),
    code: 'CERT_EXPIRED',
    told: /expired 1 d ago/,
  },
]

for (const { what, prepare, code, told } of refused) {
  test(`${what}, and no generation yet: ${code}, and nothing is in the vault`, async () => {
    await using place = await start()
    await prepare(place)
    const error = await refusalOf(() => place.look())
    assert.equal(error.code, code)
    assert.match(printed(error), told)
    assert.doesNotMatch(printed(error), /BEGIN|MIGb/)
    assert.deepEqual(await place.keys.list(), [])
  })
}

test('what we may not read is told with its owner and mode, also while there is a generation', async () => {
  await using place = await start('tls')
  const first = await sell({ fromDay: -2 })
  await place.put('tls.key', first.keyPem)
  await place.put('tls.crt', first.leafPem + authority.intermediatePem)
  const bundle = await place.taken()
  const second = await sell()
  await place.put('tls.crt', second.leafPem + authority.intermediatePem)
  await place.put('tls.key', second.keyPem)
  await chmod(join(place.directory, 'tls.key'), 0o600)
  await chmod(place.directory, 0o755)
  await chmod(join(place.directory, '..'), 0o755)
  for (const vault of ['../vault', '../vault/www']) await chmod(join(place.directory, vault), 0o755)
  const asNobodyLooks = () => asNobody(() => place.after(bundle))
  const key = await refusalOf(asNobodyLooks)
  assert.deepEqual([key.code, key.exit], ['INPUT_UNREADABLE', 77])
  assert.match(key.failure.fact ?? '', /tls\.key belongs to uid \d+, mode 0600; we are uid \d+/)
  await chmod(place.directory, 0o700)
  const whole = await refusalOf(asNobodyLooks)
  assert.equal(whole.code, 'INPUT_UNREADABLE')
  assert.match(whole.failure.fact ?? '', /tls belongs to uid \d+, mode 0700/)
})
