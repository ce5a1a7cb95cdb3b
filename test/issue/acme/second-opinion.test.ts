import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Agent } from 'node:https'
import { test } from 'node:test'
import * as other from 'acme-client'
import { makeCsr } from '../../../src/issue/acme/csr.ts'
import { accounts, openRegistered } from '../../../src/issue/acme/registration.ts'
import { keptKey } from '../../../src/issue/leaf-key.ts'
import { parseCertificates } from '../../../src/pki/certificate.ts'
import { startAcmeProxy } from '../../real/acme-proxy.ts'
import { startPebble } from '../../real/pebble.ts'
import { orderOf } from '../keeper.ts'
import { openAtProxy } from './at-proxy.ts'

test('another ACME client, with our account key from the vault, sees the account, the order, the proofs and the certificate as we do', async () => {
  await using pebble = await startPebble({ nonceRejectPercent: 0, alwaysValid: true })
  await using proxy = await startAcmeProxy(pebble)
  await using at = await openAtProxy(proxy)
  const { keys, notes } = at.tools
  const bundle = await at.issuer().issue(orderOf())
  assert.ok(bundle)
  const ours = await openRegistered(at.spec, at.tools)
  const account = await accounts(notes).read('lab')
  assert.ok(account)
  const accountKey = await keys.get('acme..lab', account.spki)

  other.axios.defaults.httpsAgent = new Agent({ ca: proxy.trust })
  const theirs = new other.Client({ directoryUrl: proxy.directoryUrl, accountKey: accountKey.reveal() })
  await theirs.createAccount({ onlyReturnExisting: true })
  assert.equal(theirs.getAccountUrl(), account.url)

  const url = (await at.orderHere('www'))?.url ?? ''
  const seen = await ours.order(url)
  const order = await theirs.getOrder({ url } as other.Order)
  assert.deepEqual([order.status, order.certificate, order.finalize], ['valid', seen.certificate, seen.finalize])
  assert.deepEqual(order.identifiers.map(({ value }) => value).toSorted(), seen.names.toSorted())
  const chain = parseCertificates(Buffer.from(await theirs.getCertificate(order)), { file: 'their answer' })
  assert.deepEqual(
    chain.map(({ fingerprint }) => fingerprint),
    bundle.chain.map(({ fingerprint }) => fingerprint),
  )

  const open = await theirs.createOrder({ identifiers: [{ type: 'dns', value: 'app.vectors.test' }] })
  const [authorization] = await theirs.getAuthorizations(open)
  const [read] = (await ours.order(open.url)).authorizations
  assert.deepEqual([authorization?.url, authorization?.status], [read, 'pending'])
  const { challenges } = await ours.authorization(read ?? '')
  for (const type of ['http-01', 'dns-01']) {
    const challenge = authorization?.challenges.find((each) => each.type === type)
    const token = challenges.find((each) => each.type === type)?.token
    assert.ok(challenge && token)
    const said = ours.keyAuthorization(token)
    // RFC 8555 section 8.4: in DNS stands its digest.
    const expected = type === 'dns-01' ? createHash('sha256').update(said).digest('base64url') : said
    assert.equal(await theirs.getChallengeKeyAuthorization(challenge), expected)
  }

  const csr = Buffer.from(makeCsr(['app.vectors.test'], await keptKey('www', bundle.spki, keys)))
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${csr.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
  assert.deepEqual(other.crypto.readCsrDomains(pem).altNames, ['app.vectors.test'])
})
