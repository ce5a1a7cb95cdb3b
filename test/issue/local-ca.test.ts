import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer, type SecureVersion } from 'node:tls'
import type { LocalCaIssuer } from '../../src/fleet/fleet.ts'
import type { Order } from '../../src/issue/issuer.ts'
import { localCa, localCaRoot } from '../../src/issue/local-ca.ts'
import { type Bundle, fullchainPem } from '../../src/pki/bundle.ts'
import { issued, type X509 } from '../../src/pki/certificate.ts'
import { type KeyType, privateKeyPem, spkiOf } from '../../src/pki/key.ts'
import { refusalOf } from '../base/refusals.ts'
import { type Keeper, openKeeper, orderOf } from './keeper.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const spec: LocalCaIssuer = { kind: 'local-ca', name: 'lab', commonName: 'Lab', lifetimeMs: 90 * dayMs }
const names = ['www.lab.example', '*.shop.lab.example']

async function issue(keeper: Keeper, wanted: Partial<Order> = {}, by = spec): Promise<Bundle> {
  const bundle = await localCa(by, keeper.keys).issue(orderOf({ names, ...wanted }))
  assert.ok(bundle)
  return bundle
}

async function rootOf(keeper: Keeper): Promise<X509> {
  const root = await localCaRoot('lab', keeper.keys)
  assert.ok(root)
  return root
}

function openssl(...words: readonly string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('openssl', words, { encoding: 'utf8' })
  return { status, text: `${stdout}${stderr}` }
}

/** The extensions as OpenSSL shows them, one a line: `X509v3 Basic Constraints: critical: CA:TRUE`. */
async function extensionsOf(keeper: Keeper, certificate: X509): Promise<string[]> {
  const file = keeper.directory.file('shown.pem')
  await writeFile(file, certificate.pem)
  const { text } = openssl('x509', '-in', file, '-noout', '-text', '-certopt', 'no_sigdump,no_pubkey,no_header')
  const [, extensions = ''] = text.split('X509v3 extensions:\n')
  return extensions
    .split(/\n {12}(?=\S)/)
    .map((each) => each.trim().replace(/\s*\n\s+/g, ' '))
    .filter((each) => each !== '' && !/Key Identifier/.test(each))
}

test('there is no root before the first certificate', async () => {
  await using keeper = await openKeeper()
  assert.equal(await localCaRoot('lab', keeper.keys), null)
})

test('the root signs itself, may only sign certificates and lists, and lives ten years', async () => {
  await using keeper = await openKeeper()
  const { nowMs } = orderOf()
  await issue(keeper, { nowMs })
  const root = await rootOf(keeper)
  assert.deepEqual([root.subject, root.issuer, root.selfSigned, root.isCa], ['CN=Lab Root', 'CN=Lab Root', true, true])
  assert.equal(root.keyType, 'ec-p384')
  assert.equal(root.signatureAlgorithm, 'ecdsa-with-SHA384')
  assert.deepEqual(await extensionsOf(keeper, root), [
    'X509v3 Basic Constraints: critical CA:TRUE',
    'X509v3 Key Usage: critical Certificate Sign, CRL Sign',
  ])
  assert.equal(root.notAfterMs - root.notBeforeMs, 3650 * dayMs)
})

test('the intermediate is signed by the root, may sign no further CA, and lives five years', async () => {
  await using keeper = await openKeeper()
  const { chain } = await issue(keeper)
  const [, intermediate, ...rest] = chain
  assert.ok(intermediate)
  assert.deepEqual(rest, [])
  assert.deepEqual([intermediate.subject, intermediate.issuer], ['CN=Lab Intermediate', 'CN=Lab Root'])
  assert.equal(intermediate.keyType, 'ec-p256')
  assert.deepEqual(await extensionsOf(keeper, intermediate), [
    'X509v3 Basic Constraints: critical CA:TRUE, pathlen:0',
    'X509v3 Key Usage: critical Certificate Sign, CRL Sign',
  ])
  assert.equal(intermediate.notAfterMs - intermediate.notBeforeMs, 1825 * dayMs)
})

test('the leaf is a server certificate for exactly the names that were ordered', async () => {
  await using keeper = await openKeeper()
  const { leaf, spki, key } = await issue(keeper)
  assert.deepEqual([leaf.subject, leaf.issuer], ['CN=www.lab.example', 'CN=Lab Intermediate'])
  assert.deepEqual(await extensionsOf(keeper, leaf), [
    'X509v3 Basic Constraints: critical CA:FALSE',
    'X509v3 Key Usage: critical Digital Signature',
    'X509v3 Extended Key Usage: TLS Web Server Authentication',
    'X509v3 Subject Alternative Name: DNS:www.lab.example, DNS:*.shop.lab.example',
  ])
  assert.deepEqual([leaf.spki, spkiOf(key)], [spki, spki])
})

test('key identifiers lead from each certificate to the one above', async () => {
  await using keeper = await openKeeper()
  const { chain } = await issue(keeper)
  const identifiers = [...chain, await rootOf(keeper)].map(({ pem }) => {
    const words = ['x509', '-noout', '-ext', 'subjectKeyIdentifier,authorityKeyIdentifier']
    const shown = spawnSync('openssl', words, { input: pem, encoding: 'utf8' }).stdout
    const [, own] = /Subject Key Identifier: *\n\s+([0-9A-F:]+)/.exec(shown) ?? []
    const [, above] = /Authority Key Identifier: *\n\s+([0-9A-F:]+)/.exec(shown) ?? []
    return { own, above }
  })
  const [leaf, intermediate, root] = identifiers
  assert.ok(leaf?.own && intermediate?.own && root?.own)
  assert.deepEqual([leaf.above, intermediate.above, root.above], [intermediate.own, root.own, root.own])
})

test('a certificate is valid from an hour before now, for the lifetime that the fleet file says', async () => {
  for (const lifetimeMs of [hourMs * 2, 6 * dayMs, 90 * dayMs, 825 * dayMs]) {
    await using keeper = await openKeeper()
    const nowMs = Math.floor(Date.now() / 1000) * 1000
    const { leaf } = await issue(keeper, { nowMs }, { ...spec, lifetimeMs })
    assert.equal(leaf.notBeforeMs, nowMs - hourMs)
    assert.equal(leaf.notAfterMs, nowMs - hourMs + lifetimeMs)
  }
})

test('serial numbers are positive, of up to 16 bytes of randomness, and never the same', async () => {
  await using keeper = await openKeeper()
  const { spki } = await issue(keeper)
  const serials: string[] = []
  for (let count = 0; count < 40; count++) serials.push((await issue(keeper, { keepKey: spki })).leaf.serial)
  assert.equal(new Set(serials).size, 40)
  const bits = (serial: string) => [...BigInt(`0x${serial}`).toString(2).padStart(128, '0')]
  for (const serial of serials) {
    assert.ok(serial.length <= 32)
    assert.equal(bits(serial)[0], '0')
  }
  const columns = Array.from({ length: 127 }, (_, at) => new Set(serials.map((serial) => bits(serial)[at + 1])))
  assert.ok(columns.every(({ size }) => size === 2))
})

const keyTypes: readonly KeyType[] = ['ec-p256', 'ec-p384', 'rsa-2048']

for (const keyType of keyTypes) {
  test(`openssl verifies a leaf with a key of type ${keyType}, from the chain and the root alone`, async () => {
    await using keeper = await openKeeper()
    const bundle = await issue(keeper, { keyType })
    assert.equal(bundle.leaf.keyType, keyType)
    const [root, chain, leaf] = ['root.pem', 'chain.pem', 'leaf.pem'].map(keeper.directory.file)
    assert.ok(root && chain && leaf)
    await writeFile(root, (await rootOf(keeper)).pem)
    await writeFile(chain, fullchainPem(bundle))
    await writeFile(leaf, bundle.leaf.pem)
    const strict = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', root, '-no-CApath', '-no-CAstore']
    for (const host of ['www.lab.example', 'a.shop.lab.example']) {
      const verdict = openssl(...strict, '-verify_hostname', host, '-untrusted', chain, leaf)
      assert.equal(verdict.status, 0, verdict.text)
    }
    assert.notEqual(openssl(...strict, leaf).status, 0)
    const other = openssl(...strict, '-verify_hostname', 'lab.example', '-untrusted', chain, leaf)
    assert.match(other.text, /hostname mismatch/)
  })
}

async function shakeHands(bundle: Bundle, root: X509 | null, host: string, version: SecureVersion): Promise<string> {
  const server = createServer({ key: privateKeyPem(bundle.key).reveal(), cert: fullchainPem(bundle) })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: host,
    minVersion: version,
    maxVersion: version,
    ...(root && { ca: root.pem }),
  })
  try {
    await once(socket, 'secureConnect')
    return `${socket.authorized} ${socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()}`
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  } finally {
    socket.destroy()
    server.close()
  }
}

for (const keyType of keyTypes) {
  test(`a handshake with a key of type ${keyType} succeeds for who trusts the root, and for nobody else`, async () => {
    await using keeper = await openKeeper()
    const bundle = await issue(keeper, { keyType })
    const root = await rootOf(keeper)
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const seen = await shakeHands(bundle, root, 'www.lab.example', version)
      assert.equal(seen, `true ${bundle.leaf.fingerprint}`)
    }
    assert.match(await shakeHands(bundle, null, 'www.lab.example', 'TLSv1.3'), /^(SELF_SIGNED|UNABLE_TO)/)
    assert.equal(await shakeHands(bundle, root, 'other.example', 'TLSv1.3'), 'ERR_TLS_CERT_ALTNAME_INVALID')
  })
}

test('root and intermediate are made once and stay', async () => {
  await using keeper = await openKeeper()
  const nowMs = Date.now()
  const first = await issue(keeper, { nowMs })
  const root = await rootOf(keeper)
  for (const days of [1, 90, 1_000]) {
    const next = await issue(keeper, { nowMs: nowMs + days * dayMs })
    assert.equal(next.chain[1]?.fingerprint, first.chain[1]?.fingerprint)
    assert.notEqual(next.leaf.fingerprint, first.leaf.fingerprint)
  }
  assert.equal((await rootOf(keeper)).fingerprint, root.fingerprint)
})

test('an intermediate that would end before the leaf is not used', async () => {
  await using keeper = await openKeeper()
  const nowMs = Date.now()
  const first = await issue(keeper, { nowMs })
  const old = first.chain[1]
  assert.ok(old)
  const lastMs = old.notAfterMs - spec.lifetimeMs - 1
  assert.equal((await issue(keeper, { nowMs: lastMs })).chain[1]?.fingerprint, old.fingerprint)
  const late = await issue(keeper, { nowMs: lastMs + dayMs })
  assert.notEqual(late.chain[1]?.fingerprint, old.fingerprint)
  for (const { leaf, chain } of [first, late]) {
    for (const each of chain) assert.ok(each.notAfterMs >= leaf.notAfterMs)
  }
})

test('of all roots and intermediates that there were, the newest are used and shown, and none is made without need', async () => {
  await using keeper = await openKeeper()
  const shelf = async (role: string) =>
    (await keeper.keys.list()).filter(({ lineage }) => lineage === `ca..lab..${role}`).length
  let nowMs = Date.now()
  for (let count = 1; count <= 6; count++) {
    const { chain } = await issue(keeper, { nowMs })
    const [root, intermediate] = [await rootOf(keeper), chain[1]]
    assert.ok(intermediate)
    assert.equal(root.notBeforeMs, intermediate.notBeforeMs)
    assert.ok(issued(root, intermediate), 'an intermediate goes with its root')
    for (const days of [1, 2, 3]) {
      const again = await issue(keeper, { nowMs: nowMs + days * dayMs })
      assert.equal(again.chain[1]?.fingerprint, intermediate.fingerprint)
    }
    assert.deepEqual([await shelf('root'), await shelf('intermediate')], [count, count])
    nowMs = Math.floor(root.notAfterMs / 1000) * 1000
  }
})

test('a root that is replaced before its intermediate takes the intermediate with it', async () => {
  await using keeper = await openKeeper()
  const nowMs = Date.now()
  await issue(keeper, { nowMs })
  const [old, oldRoot] = [(await issue(keeper, { nowMs: nowMs + 2_000 * dayMs })).chain[1], await rootOf(keeper)]
  const last = await issue(keeper, { nowMs: nowMs + 3_600 * dayMs })
  const [root, intermediate] = [await rootOf(keeper), last.chain[1]]
  assert.ok(old && intermediate)
  assert.ok(old.notAfterMs > last.leaf.notAfterMs && oldRoot.notAfterMs < last.leaf.notAfterMs)
  assert.notEqual(root.fingerprint, oldRoot.fingerprint)
  assert.ok(issued(root, intermediate) && !issued(oldRoot, intermediate))
})

test('of several first issues at once one makes the CA, and all use it', async () => {
  await using keeper = await openKeeper()
  const lineages = Array.from({ length: 5 }, (_, number) => `l${number}`)
  const bundles = await Promise.all(lineages.map((lineage) => issue(keeper, { lineage })))
  assert.equal(new Set(bundles.map(({ chain }) => chain[1]?.fingerprint)).size, 1)
  const made = (await keeper.keys.list()).map(({ lineage }) => lineage).filter((lineage) => lineage.startsWith('ca..'))
  assert.deepEqual(made.toSorted(), ['ca..lab..intermediate', 'ca..lab..root'])
  const [root, intermediate] = [await rootOf(keeper), bundles[0]?.chain[1]]
  assert.ok(intermediate && issued(root, intermediate))
})

test('no common name is longer than 64 characters', async () => {
  await using keeper = await openKeeper()
  const long = [`${'a'.repeat(60)}.lab.example`, `${'b'.repeat(60)}.lab.example`]
  const by = { ...spec, commonName: `${'Büro '.repeat(11)}Köln` }
  const short = await issue(keeper, { names: [...long, 'www.lab.example'] }, by)
  assert.equal(short.leaf.subject, 'CN=www.lab.example')
  const bundle = await issue(keeper, { names: long }, by)
  const root = await rootOf(keeper)
  const common = [root, bundle.chain[1]].map((each) => each?.subjectCommonName ?? '')
  assert.ok(common.every((each) => each.startsWith('Büro Büro') && each.length <= 64))
  assert.deepEqual(
    common.map((each) => each.split(' ').at(-1)),
    ['Root', 'Intermediate'],
  )
  assert.deepEqual([bundle.leaf.subject, bundle.leaf.names], ['', long])
  const [rootFile, chain, leaf] = ['root.pem', 'chain.pem', 'leaf.pem'].map(keeper.directory.file)
  assert.ok(rootFile && chain && leaf)
  await writeFile(rootFile, root.pem)
  await writeFile(chain, fullchainPem(bundle))
  await writeFile(leaf, bundle.leaf.pem)
  const verdict = openssl(
    'verify',
    '-x509_strict',
    '-purpose',
    'sslserver',
    '-CAfile',
    rootFile,
    '-untrusted',
    chain,
    leaf,
  )
  assert.equal(verdict.status, 0, verdict.text)
  assert.match(await shakeHands(bundle, root, long[1] ?? '', 'TLSv1.3'), /^true /)
})

test('a kept key stays the same key in a new certificate; else there is a new one', async () => {
  await using keeper = await openKeeper()
  const first = await issue(keeper)
  const kept = await issue(keeper, { keepKey: first.spki })
  assert.equal(kept.spki, first.spki)
  assert.equal(privateKeyPem(kept.key).reveal(), privateKeyPem(first.key).reveal())
  assert.notEqual(kept.leaf.fingerprint, first.leaf.fingerprint)
  const fresh = await issue(keeper)
  assert.notEqual(fresh.spki, first.spki)
})

test('the key of every certificate is in the keeper, and a key that is not there cannot be kept', async () => {
  await using keeper = await openKeeper()
  const { spki, key } = await issue(keeper)
  assert.equal((await keeper.keys.get('www', spki)).reveal(), privateKeyPem(key).reveal())
  const error = await refusalOf(() => issue(keeper, { keepKey: '0'.repeat(64) }))
  assert.equal(error.code, 'VAULT_KEY_MISSING')
})

test('keys of the CA lie in the keeper alone, one of each kind, away from the lineages', async () => {
  await using keeper = await openKeeper()
  await issue(keeper)
  const lineages = (await keeper.keys.list()).map(({ lineage }) => lineage)
  assert.deepEqual(lineages.toSorted(), ['ca..lab..intermediate', 'ca..lab..root', 'www'])
  assert.deepEqual((await readdir(keeper.directory.path)).toSorted(), ['identity', 'state', 'vault'])
})

test('each issuer has a CA of its own', async () => {
  await using keeper = await openKeeper()
  await issue(keeper)
  await issue(keeper, { lineage: 'api' }, { ...spec, name: 'other' })
  const [lab, other] = [await localCaRoot('lab', keeper.keys), await localCaRoot('other', keeper.keys)]
  assert.ok(lab && other)
  assert.notEqual(lab.spki, other.spki)
})

test('a common name of other scripts is written as it is', async () => {
  await using keeper = await openKeeper()
  const { chain } = await issue(keeper, {}, { ...spec, commonName: 'Büro 東京' })
  assert.equal(chain[1]?.subjectCommonName, 'Büro 東京 Intermediate')
})
