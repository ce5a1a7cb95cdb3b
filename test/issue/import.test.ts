import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ImportPemIssuer, ImportPkcs12Issuer, Issuer as IssuerSpec } from '../../src/fleet/fleet.ts'
import type { Order } from '../../src/issue/issuer.ts'
import { issuerOf } from '../../src/issue/issuers.ts'
import { type Bundle, fullchainPem } from '../../src/pki/bundle.ts'
import { privateKeyPem, spkiOf } from '../../src/pki/key.ts'
import { printed, refusalOf } from '../base/refusals.ts'
import { nowMs, vector } from '../pki/vectors.ts'
import { type Keeper, openKeeper, orderOf } from './keeper.ts'

const vectors = join(import.meta.dirname, '../vectors/pki')

/** Copies a vector beside the vault, where the fleet file would name it. */
async function put(keeper: Keeper, name: string): Promise<string> {
  const path = keeper.directory.file(name)
  await copyFile(join(vectors, name), path)
  return path
}

async function putText(keeper: Keeper, name: string, text: string): Promise<string> {
  const path = keeper.directory.file(name)
  await writeFile(path, text)
  return path
}

function issue(keeper: Keeper, spec: IssuerSpec, wanted: Partial<Order> = {}): Promise<Bundle | null> {
  return issuerOf(spec, keeper.tools).issue(orderOf({ nowMs, ...wanted }))
}

async function issued(keeper: Keeper, spec: IssuerSpec, wanted: Partial<Order> = {}): Promise<Bundle> {
  const bundle = await issue(keeper, spec, wanted)
  assert.ok(bundle)
  return bundle
}

const pem = (certificate: string, rest: Partial<ImportPemIssuer> = {}): ImportPemIssuer => ({
  kind: 'import-pem',
  name: 'bought',
  certificate,
  ...rest,
})
const pkcs12 = (path: string, passphraseFile?: string): ImportPkcs12Issuer => ({
  kind: 'import-pkcs12',
  name: 'bought',
  pkcs12: path,
  ...(passphraseFile !== undefined && { passphraseFile }),
})

const goodChain = Buffer.from(vector('good.pem')).toString()
const [goodLeaf = ''] = goodChain.split(/(?<=-----END CERTIFICATE-----\n)/)

const forms: readonly (readonly [string, (keeper: Keeper) => Promise<IssuerSpec>])[] = [
  [
    'PEM, the chain in the certificate file',
    async (keeper) => pem(await put(keeper, 'good.pem'), { key: await put(keeper, 'good.key') }),
  ],
  [
    'PEM, the chain in a file of its own',
    async (keeper) =>
      pem(await putText(keeper, 'leaf.pem', goodLeaf), {
        key: await put(keeper, 'good.key'),
        chain: await put(keeper, 'intermediate.pem'),
      }),
  ],
  [
    'DER, certificate and key',
    async (keeper) =>
      pem(await put(keeper, '11-certificate.der'), {
        key: await put(keeper, '11-key.der'),
        chain: await put(keeper, 'intermediate.pem'),
      }),
  ],
  [
    'PEM with an encrypted key',
    async (keeper) =>
      pem(await put(keeper, 'good.pem'), {
        key: await put(keeper, '17-pkcs8-aes.key'),
        passphraseFile: await putText(keeper, 'pass', 'correct horse\n'),
      }),
  ],
  [
    'a PKCS#12 container',
    async (keeper) => pkcs12(await put(keeper, '28-modern.p12'), await putText(keeper, 'pass', 'correct horse\n')),
  ],
  [
    'a PKCS#12 container, its password with the line end of Windows',
    async (keeper) => pkcs12(await put(keeper, '28-modern.p12'), await putText(keeper, 'pass', 'correct horse\r\n')),
  ],
  [
    'a PKCS#12 container, its password without a line end',
    async (keeper) => pkcs12(await put(keeper, '28-modern.p12'), await putText(keeper, 'pass', 'correct horse')),
  ],
  ['a PKCS#12 container with the empty password', async (keeper) => pkcs12(await put(keeper, '31-empty-password.p12'))],
]

for (const [what, prepare] of forms) {
  test(`${what}: the whole chain and its key come out, and the key is in the keeper`, async () => {
    await using keeper = await openKeeper()
    const { leaf, chain, key, spki } = await issued(keeper, await prepare(keeper))
    assert.equal(fullchainPem({ chain }), goodChain)
    assert.deepEqual([leaf.spki, spkiOf(key)], [spki, spki])
    assert.equal((await keeper.keys.get('www', spki)).reveal(), privateKeyPem(key).reveal())
    assert.deepEqual(await keeper.keys.list(), [{ lineage: 'www', spki }])
  })
}

test('the same certificate again is nothing new', async () => {
  await using keeper = await openKeeper()
  const pass = await putText(keeper, 'pass', 'correct horse')
  const specs = [
    pem(await put(keeper, 'good.pem'), { key: await put(keeper, 'good.key') }),
    pkcs12(await put(keeper, '28-modern.p12'), pass),
  ]
  for (const spec of specs) {
    const { leaf } = await issued(keeper, spec)
    assert.equal(await issue(keeper, spec, { newest: leaf.fingerprint }), null)
    assert.ok(await issue(keeper, spec, { newest: 'f'.repeat(64) }))
  }
})

test('a key file that is gone is not missed: the keeper has the key', async () => {
  await using keeper = await openKeeper()
  const spec = pem(await put(keeper, 'good.pem'), { key: await put(keeper, 'good.key') })
  const first = await issued(keeper, spec)
  await rm(keeper.directory.file('good.key'))
  const later = await issued(keeper, spec)
  assert.equal(privateKeyPem(later.key).reveal(), privateKeyPem(first.key).reveal())
  const gone = { key: keeper.directory.file('good.key'), passphraseFile: keeper.directory.file('no-pass') }
  assert.ok(await issued(keeper, pem(keeper.directory.file('good.pem'), gone)))
  const nameless = await issued(keeper, pem(keeper.directory.file('good.pem')))
  assert.equal(nameless.spki, first.spki)
})

test('without a key anywhere the answer says which file was looked for', async () => {
  await using keeper = await openKeeper()
  const certificate = await put(keeper, 'good.pem')
  const gone = await refusalOf(() => issue(keeper, pem(certificate, { key: keeper.directory.file('gone.key') })))
  assert.deepEqual([gone.code, gone.exit], ['VAULT_KEY_MISSING', 65])
  assert.match(gone.failure.fact ?? '', /gone\.key is not there, and the vault has no key with SPKI [0-9a-f]{8}$/)
  const none = await refusalOf(() => issue(keeper, pem(certificate)))
  assert.match(none.failure.fact ?? '', /^the fleet file names no key file/)
  assert.deepEqual(await keeper.keys.list(), [])
})

interface Refused {
  readonly what: string
  readonly spec: (keeper: Keeper) => Promise<IssuerSpec>
  readonly wanted?: Partial<Order>
  readonly code: string
  readonly told: RegExp
}

const withGoodKey = async (keeper: Keeper, certificate: string): Promise<IssuerSpec> =>
  pem(await put(keeper, certificate), { key: await put(keeper, 'good.key') })

const refused: readonly Refused[] = [
  {
    what: 'the key of another certificate',
    spec: async (keeper) => pem(await put(keeper, 'good.pem'), { key: await put(keeper, '01-other.key') }),
    code: 'PEM_KEY_MISMATCH',
    told: /key has SPKI/,
  },
  {
    what: 'a leaf without its chain',
    spec: (keeper) => withGoodKey(keeper, '03-leaf-only.pem'),
    code: 'CHAIN_INCOMPLETE',
    told: /issuer "Vectors R11" is missing/,
  },
  {
    what: 'the intermediate first',
    spec: (keeper) => withGoodKey(keeper, '02-intermediate-first.pem'),
    code: 'CHAIN_ORDER',
    told: /leaf is number 2/,
  },
  {
    what: 'a certificate that has ended',
    spec: (keeper) => withGoodKey(keeper, '22-expired.pem'),
    code: 'CERT_EXPIRED',
    told: /expired 3 d ago/,
  },
  {
    what: 'a certificate that does not name what was ordered',
    spec: (keeper) => withGoodKey(keeper, 'good.pem'),
    wanted: { names: ['www.vectors.test', 'api.vectors.test'] },
    code: 'CERT_NAME_MISSING',
    told: /does not cover api\.vectors\.test/,
  },
  {
    what: 'a file that is not there',
    spec: async (keeper) => pem(keeper.directory.file('none.pem')),
    code: 'INPUT_NOT_FOUND',
    told: /none\.pem/,
  },
  {
    what: 'a chain file that is not there',
    spec: async (keeper) =>
      pem(await put(keeper, 'good.pem'), {
        key: await put(keeper, 'good.key'),
        chain: keeper.directory.file('none.pem'),
      }),
    code: 'INPUT_NOT_FOUND',
    told: /none\.pem/,
  },
  {
    what: 'an empty file',
    spec: (keeper) => withGoodKey(keeper, '07-empty.pem'),
    code: 'PEM_EMPTY',
    told: /07-empty\.pem/,
  },
  {
    what: 'a key in place of the certificate',
    spec: (keeper) => withGoodKey(keeper, '09-key-as-certificate.pem'),
    code: 'PEM_WRONG_KIND',
    told: /PRIVATE KEY, expected CERTIFICATE/,
  },
  {
    what: '10 MiB of something',
    spec: async (keeper) => pem(await putText(keeper, 'large.pem', 'x'.repeat(10 * 1024 * 1024))),
    code: 'INPUT_TOO_LARGE',
    told: /large\.pem/,
  },
  {
    what: 'an encrypted key without a passphrase file',
    spec: async (keeper) => pem(await put(keeper, 'good.pem'), { key: await put(keeper, '17-pkcs8-aes.key') }),
    code: 'KEY_ENCRYPTED',
    told: / passphrase-file at the issuer in the fleet file/,
  },
  {
    what: 'an encrypted key with the wrong passphrase',
    spec: async (keeper) =>
      pem(await put(keeper, 'good.pem'), {
        key: await put(keeper, '17-pkcs8-aes.key'),
        passphraseFile: await putText(keeper, 'pass', 'wrong canary'),
      }),
    code: 'KEY_PASSPHRASE_WRONG',
    told: /does not open/,
  },
  {
    what: 'an encrypted key whose passphrase file is not there',
    spec: async (keeper) =>
      pem(await put(keeper, 'good.pem'), {
        key: await put(keeper, '17-pkcs8-aes.key'),
        passphraseFile: keeper.directory.file('no-pass'),
      }),
    code: 'INPUT_NOT_FOUND',
    told: /no-pass is not there/,
  },
  {
    what: 'a container with the wrong password',
    spec: async (keeper) => pkcs12(await put(keeper, '28-modern.p12'), await putText(keeper, 'pass', 'wrong canary')),
    code: 'P12_PASSWORD_WRONG',
    told: /28-modern\.p12/,
  },
  {
    what: 'a container without the password',
    spec: async (keeper) => pkcs12(await put(keeper, '28-modern.p12')),
    code: 'P12_PASSWORD_NEEDED',
    told: / passphrase-file at the issuer in the fleet file/,
  },
  {
    what: 'a container whose password file is not there',
    spec: async (keeper) => pkcs12(await put(keeper, '28-modern.p12'), keeper.directory.file('no-pass')),
    code: 'INPUT_NOT_FOUND',
    told: /no-pass/,
  },
  {
    what: 'a container that was cut',
    spec: async (keeper) => pkcs12(await put(keeper, '32-truncated.p12')),
    code: 'P12_DAMAGED',
    told: /32-truncated\.p12/,
  },
  {
    what: 'a container without a key',
    spec: async (keeper) => pkcs12(await put(keeper, '30-no-key.p12'), await putText(keeper, 'pass', 'correct horse')),
    code: 'P12_NO_KEY',
    told: /no key/,
  },
  {
    what: 'PEM in place of a container',
    spec: async (keeper) => pkcs12(await put(keeper, '32-pem.p12')),
    code: 'P12_IS_PEM',
    told: /import: \{ certificate: FILE, key: FILE \}/,
  },
]

for (const { what, spec, wanted = {}, code, told } of refused) {
  test(`${what}: ${code}, and nothing is in the keeper`, async () => {
    await using keeper = await openKeeper()
    const prepared = await spec(keeper)
    const error = await refusalOf(() => issue(keeper, prepared, wanted))
    assert.equal(error.code, code)
    assert.match(printed(error), told)
    assert.doesNotMatch(printed(error), /canary|correct horse|BEGIN/)
    assert.deepEqual(await keeper.keys.list(), [])
  })
}

test('all defects of a bought certificate are told at once, and what was left alone', async () => {
  await using keeper = await openKeeper()
  const spec = pem(await put(keeper, '22-expired.pem'), { key: await put(keeper, '01-other.key') })
  const error = await refusalOf(() => issue(keeper, spec, { names: ['api.vectors.test'] }))
  const codes = [error, ...(error.failure.also ?? [])].map(({ code }) => code)
  assert.deepEqual(codes, ['PEM_KEY_MISMATCH', 'CERT_EXPIRED', 'CERT_NAME_MISSING'])
  assert.equal(error.failure.state, 'nothing was stored and no server was touched')
})

test('a pipe in place of a file is refused at once', { timeout: 10_000 }, async () => {
  await using keeper = await openKeeper()
  const pipe = keeper.directory.file('pipe')
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0)
  for (const spec of [pem(pipe), pkcs12(pipe), pkcs12(await put(keeper, '28-modern.p12'), pipe)]) {
    assert.equal((await refusalOf(() => issue(keeper, spec))).code, 'INPUT_NOT_A_FILE')
  }
})
