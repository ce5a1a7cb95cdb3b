import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import type { ErrorCode } from '../../../src/base/catalogue.ts'
import type { AcmeIssuer } from '../../../src/fleet/fleet.ts'
import { parseCertificates } from '../../../src/pki/certificate.ts'
import { parsePrivateKey, privateKeyPem, spkiOf } from '../../../src/pki/key.ts'
import { type Authority, createAuthority, type Order, type Sold } from '../../authority.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type AcmeProxy, path, startAcmeProxy } from '../../real/acme-proxy.ts'
import { type Pebble, startPebble } from '../../real/pebble.ts'
import { orderOf } from '../keeper.ts'
import { type AtProxy, openAtProxy } from './at-proxy.ts'

let pebble: Pebble
let proxy: AcmeProxy
let at: AtProxy
let authority: Authority

before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, alwaysValid: true, alternateRoots: 1 })
  proxy = await startAcmeProxy(pebble)
  at = await openAtProxy(proxy)
  authority = await createAuthority()
})
after(async () => {
  await at[Symbol.asyncDispose]()
  await proxy.stop()
  await pebble.stop()
})

let lineages = 0

/** A lineage of its own, whose key is in the keeper; the authority sells certificates for it. */
async function lineageWithKey(): Promise<{
  readonly lineage: string
  readonly names: readonly string[]
  readonly keepKey: string
  sell(order: Partial<Order>): Promise<Sold>
}> {
  lineages += 1
  const lineage = `answer-${lineages}`
  const names = [`www.${lineage}.example`, `shop.${lineage}.example`]
  const { keyPem, keys } = await authority.sell({ names })
  const key = parsePrivateKey(Buffer.from(keyPem), { file: 'the key' })
  await at.keeper.keys.put(lineage, privateKeyPem(key), spkiOf(key))
  return { lineage, names, keepKey: spkiOf(key), sell: (order) => authority.sell({ names, keys, ...order }) }
}

async function rootsFile(...roots: readonly string[]): Promise<Partial<AcmeIssuer>> {
  const file = at.keeper.directory.file(`roots-${lineages}.pem`)
  await writeFile(file, roots.join(''))
  return { rootsFile: file }
}

interface Wrong {
  readonly answer: string
  readonly code: ErrorCode
  /** What the next run does. */
  readonly next: 'goes on with the order' | 'makes a new order'
  /** In place of the leaf and the intermediate. */
  readonly body?: (sold: Sold) => Promise<string> | string
  readonly sold?: (names: readonly string[]) => Partial<Order>
}

const otherKey = async ({ leafPem }: Sold) => {
  const [leaf] = parseCertificates(Buffer.from(leafPem), { file: 'the leaf' })
  return (await authority.sell({ names: leaf?.names ?? [] })).leafPem + authority.intermediatePem
}

const wrongAnswers: readonly Wrong[] = [
  { answer: 'for another key', code: 'PEM_KEY_MISMATCH', next: 'makes a new order', body: otherKey },
  {
    answer: 'for fewer names',
    code: 'CERT_NAME_MISSING',
    next: 'makes a new order',
    sold: ([first = '']) => ({ names: [first] }),
  },
  { answer: 'expired', code: 'CERT_EXPIRED', next: 'makes a new order', sold: () => ({ fromDay: -9, toDay: -1 }) },
  { answer: 'not yet valid', code: 'CERT_NOT_YET_VALID', next: 'goes on with the order', sold: () => ({ fromDay: 1 }) },
  {
    answer: 'a leaf without its intermediate',
    code: 'CHAIN_INCOMPLETE',
    next: 'goes on with the order',
    body: ({ leafPem }) => leafPem,
  },
  {
    answer: 'of garbage',
    code: 'ACME_PROTOCOL',
    next: 'goes on with the order',
    body: () => '<html>captive portal</html>',
  },
  { answer: 'with an empty body', code: 'ACME_PROTOCOL', next: 'goes on with the order', body: () => '' },
]

describe('a certificate answer that is wrong is refused before anything of it is kept', () => {
  for (const { answer, code, next, body, sold } of wrongAnswers) {
    test(`one ${answer}: ${code}; the next run ${next}`, async () => {
      const { lineage, names, keepKey, sell } = await lineageWithKey()
      const made = await sell(sold?.(names) ?? {})
      const changed = body ? await body(made) : made.leafPem + authority.intermediatePem
      proxy.inject({ on: path('/certZ/'), times: 2, deed: { kind: 'change', body: () => changed } })
      const order = orderOf({ lineage, names, keepKey })
      const before = await at.ordersThere()
      const refused = await refusalOf(() => at.issuer().issue(order))
      assert.equal(refused.code, code, refused.message)
      assert.match(refused.message, /lab/)
      assert.equal((await at.orderHere(lineage))?.fingerprint ?? null, null)
      await proxy.clear()
      const bundle = await at.issuer().issue(order)
      assert.equal(bundle?.spki, keepKey)
      assert.notEqual(bundle?.leaf.fingerprint, made.fingerprint)
      assert.equal((await at.ordersThere()) - before, next === 'makes a new order' ? 2 : 1)
    })
  }

  test('a chain to no known root: refused; when the root is known, the same order is gone on with', async () => {
    const { lineage, names, keepKey } = await lineageWithKey()
    const order = orderOf({ lineage, names, keepKey })
    const before = await at.ordersThere()
    const strange = await rootsFile(authority.rootPem)
    const refused = await refusalOf(() => at.issuer(strange).issue(order))
    assert.equal(refused.code, 'CHAIN_INCOMPLETE', refused.message)
    const known = await rootsFile(authority.rootPem, ...(await pebble.roots()))
    assert.equal((await at.issuer(known).issue(order))?.spki, keepKey)
    assert.equal((await at.ordersThere()) - before, 1)
  })
})

describe('of several chains for one certificate', () => {
  const rootOf = (pem: string) => parseCertificates(Buffer.from(pem), { file: 'a root' })[0]
  const commonName = (pem: string) => /CN=([^,\n]+)/.exec(rootOf(pem)?.subject ?? '')?.[1] ?? ''

  test('the alternate one is taken where the first leads to no known root', async () => {
    const { lineage, names, keepKey } = await lineageWithKey()
    const [, alternate = ''] = await pebble.roots()
    const issuer = at.issuer(await rootsFile(alternate))
    const bundle = await issuer.issue(orderOf({ lineage, names, keepKey }))
    assert.equal(bundle?.chain.at(-1)?.issuer, rootOf(alternate)?.subject)
  })

  for (const preferred of [0, 1]) {
    test(`the one that leads to the preferred root, number ${preferred}, is taken where both would do`, async () => {
      const { lineage, names, keepKey } = await lineageWithKey()
      const root = (await pebble.roots())[preferred] ?? ''
      const bundle = await at.issuer({ preferredChain: commonName(root) }).issue(orderOf({ lineage, names, keepKey }))
      assert.equal(bundle?.chain.at(-1)?.issuer, rootOf(root)?.subject)
    })
  }

  test('a preferred root that the CA does not lead to is no obstacle: the first chain is taken', async () => {
    const { lineage, names, keepKey } = await lineageWithKey()
    const [first = ''] = await pebble.roots()
    const issuer = at.issuer({ preferredChain: 'No Such Root' })
    const bundle = await issuer.issue(orderOf({ lineage, names, keepKey }))
    assert.equal(bundle?.chain.at(-1)?.issuer, rootOf(first)?.subject)
  })
})
