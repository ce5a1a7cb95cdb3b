import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { before, describe, test } from 'node:test'
import { judgeTlsa } from '../../src/audit/tlsa.ts'
import type { TlsaRecord, TlsaSight } from '../../src/observe/tlsa.ts'
import { nativeOf, parseCertificates, type X509 } from '../../src/pki/certificate.ts'
import { createAuthority } from '../authority.ts'

const name = 'mail.domain.example'
const owner = `_25._tcp.${name}`

const one = (pem: string): X509 =>
  parseCertificates(Buffer.from(pem), { file: 'test' })[0] ?? assert.fail('no certificate')

describe('TLSA records against what is served', () => {
  let [leaf, intermediate, root, stranger]: X509[] = []

  before(async () => {
    const authority = await createAuthority()
    leaf = one((await authority.sell({ names: [name] })).leafPem)
    intermediate = one(authority.intermediatePem)
    root = one(authority.rootPem)
    stranger = one((await authority.sell({ names: [name] })).leafPem)
  })

  const record = (usage: number, selector: number, matching: number, of: X509 | undefined): TlsaRecord => {
    if (!of) assert.fail('no certificate')
    const bytes = selector === 0 ? of.der : nativeOf(of).publicKey.export({ type: 'spki', format: 'der' })
    const hash = ['', 'sha256', 'sha512'][matching]
    return {
      usage,
      selector,
      matching,
      data: hash ? createHash(hash).update(bytes).digest('hex') : Buffer.from(bytes).toString('hex'),
    }
  }
  const sight = (server: string, ...records: readonly TlsaRecord[]): TlsaSight => ({
    server,
    address: '192.0.2.53',
    records,
    failure: null,
  })
  const judge = (sights: readonly TlsaSight[], sent = [leaf, intermediate], anchors?: readonly X509[]) => {
    const certificates = sent.flatMap((each) => each?.der ?? [])
    const served = { chain: [], certificates, notAfterMs: 0, subject: name, spki: '' }
    const endpoint = { address: '192.0.2.25', port: 25, name }
    return judgeTlsa('mail', owner, sights, [{ server: 'mx-1', endpoint, served, reason: null }], anchors)
  }
  const matched = (...records: readonly TlsaRecord[]) => judge([sight('ns1', ...records)]).length === 0

  test('each usage, selector and matching type is understood', () => {
    for (const matching of [0, 1, 2]) {
      for (const selector of [0, 1]) {
        for (const usage of [1, 3]) {
          assert.equal(matched(record(usage, selector, matching, leaf)), true)
          assert.equal(matched(record(usage, selector, matching, stranger)), false)
          assert.equal(matched(record(usage, selector, matching, intermediate)), false, 'a CA is no end entity')
        }
        for (const usage of [0, 2]) {
          assert.equal(matched(record(usage, selector, matching, intermediate)), true)
          assert.equal(matched(record(usage, selector, matching, leaf)), false, 'a leaf is no trust anchor')
          assert.equal(matched(record(usage, selector, matching, root)), false, 'it was not sent')
        }
      }
    }
  })
  test('a root that was sent counts; one that clients know counts for the usage that trusts it', () => {
    const known = root ? [root] : []
    for (const [usage, sent, anchors, right] of [
      [0, [leaf, intermediate, root], undefined, true],
      [2, [leaf, intermediate, root], undefined, true],
      [0, [leaf, intermediate], known, true],
      [2, [leaf, intermediate], known, false],
    ] as const) {
      const found = judge([sight('ns1', record(usage, 1, 1, root))], [...sent], anchors)
      assert.equal(found.length === 0, right, `usage ${usage}, ${sent.length} sent`)
    }
  })
  test('one that matches is enough; none at all is nothing', () => {
    assert.equal(matched(record(3, 1, 1, stranger), record(3, 1, 1, leaf)), true)
    assert.equal(matched(), true)
  })
  test('what no client understands is passed over', () => {
    assert.equal(matched({ usage: 4, selector: 1, matching: 1, data: '00' }), true)
    assert.equal(matched({ usage: 3, selector: 1, matching: 9, data: '00' }), true)
  })
  test('each name server by itself; one that tells nothing is not judged here', () => {
    const [good, bad] = [record(3, 1, 1, leaf), record(3, 1, 1, stranger)]
    const [found, ...rest] = judge([sight('ns1', good), sight('ns2', bad), { ...sight('ns3', bad), failure: 'silent' }])
    assert.deepEqual([found?.reason, found?.server, found?.place, rest], ['tlsa-mismatch', 'mx-1', owner, []])
    assert.equal(found?.expected, `3 1 1 ${stranger?.spki.slice(0, 8)} at ns2`)
    assert.ok(found?.repair.endsWith(`${owner}. TLSA 3 1 1 ${leaf?.spki}`), found?.repair)
  })
})
