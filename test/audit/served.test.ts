import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { type EndpointSeen, judgeServed, type OneLook } from '../../src/audit/served.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { createAuthority } from '../authority.ts'
import { dayMs, desired, nowMs } from './desired.ts'

const name = 'www.domain.example'

const shown = (chain: readonly string[], certificates: readonly Uint8Array[] = []): OneLook => ({
  served: { chain, notAfterMs: nowMs + 60 * dayMs, subject: name, spki: 'key8', certificates },
  reason: null,
})
const newest = shown(['leaf8', 'intermediate'])
const older = shown(['leaf7', 'intermediate'])
const stranger = shown(['stranger'])
const nothing: OneLook = { served: null, reason: 'it does not answer' }

const judge = (first: OneLook, again: readonly OneLook[] = [], more: Partial<EndpointSeen> = {}) => {
  const endpoint = { address: '192.0.2.11', port: 443, name }
  return judgeServed(desired, { server: 'eu-1', endpoint, ...first, again, ...more }, null, nowMs)
}
const reasons = (...given: Parameters<typeof judge>) => judge(...given).map(({ reason }) => reason)

describe('several connections to one endpoint', () => {
  test('all the same: as one of them', () => {
    assert.deepEqual(reasons(newest, [newest, newest]), [])
    assert.deepEqual(reasons(older, [older]), ['old-certificate'])
    assert.deepEqual(reasons(stranger, [stranger]), ['other-certificate'])
  })
  test('some older, others the newest: an old process, whichever came first', () => {
    assert.deepEqual(reasons(newest, [newest, older]), ['old-process'])
    assert.deepEqual(reasons(older, [newest, newest]), ['old-process'])
    const [found] = judge(newest, [older, newest, older])
    assert.match(found?.what ?? '', /^2 of 4 connections show an older certificate/)
    assert.equal(found?.served, 'generation 7 (leaf7)')
    assert.match(found?.repair ?? '', /^look which processes listen on eu-1/)
  })
  test('a stranger beside ours', () => {
    assert.deepEqual(reasons(newest, [stranger]), ['mixed-answers'])
    assert.deepEqual(reasons(stranger, [newest, older]), ['old-process', 'mixed-answers'])
    assert.deepEqual(reasons(stranger, [older]), ['old-certificate', 'mixed-answers'])
  })
  test('two older ones are no old process: the newest was not brought there', () => {
    assert.deepEqual(reasons(older, [shown(['leaf6', 'intermediate'])]), ['old-certificate'])
  })
  test('the same leaf with and without its intermediate', () => {
    assert.deepEqual(reasons(newest, [shown(['leaf8']), shown(['leaf8'])]), ['incomplete-chain'])
  })
  test('connections that show nothing beside others', () => {
    const [found, ...rest] = judge(newest, [nothing, newest])
    assert.deepEqual([found?.reason, rest], ['unreachable', []])
    assert.equal(found?.what, '1 of 3 connections showed nothing: it does not answer')
  })
})

test('an older version of TLS is a notice', () => {
  const [found, ...rest] = judge(newest, [], { oldProtocol: 'TLSv1.1' })
  assert.deepEqual(
    [found?.reason, found?.severity, found?.what, rest],
    ['weak-protocol', 'notice', 'takes TLSv1.1', []],
  )
})

describe('what every client judges', () => {
  const found = (pem: string, atMs = Date.now(), leaf = 'leaf8') => {
    const certificates = parseCertificates(Buffer.from(pem), { file: 'test' }).map(({ der }) => der)
    const dates = { notBeforeMs: atMs - 30 * dayMs, notAfterMs: atMs + 60 * dayMs }
    const chain = [leaf, 'intermediate']
    return judgeServed(
      { ...desired, newest: desired.newest && { ...desired.newest, ...dates } },
      {
        server: 'eu-1',
        endpoint: { address: '192.0.2.11', port: 443, name },
        served: { chain, ...dates, subject: name, spki: 'key8', certificates },
        reason: null,
      },
      null,
      atMs,
    )
  }
  const served = (...given: Parameters<typeof found>) => found(...given).map(({ reason }) => reason)
  const selfSigned = (...words: readonly string[]) => {
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', '/dev/null']
    return execFileSync('openssl', ['req', '-x509', '-nodes', ...subject, ...words], { stdio: 'pipe' }).toString()
  }

  test('the name of the site, itself or below a wildcard', async () => {
    const authority = await createAuthority()
    const of = async (each: string) => served((await authority.sell({ names: [each] })).leafPem)
    assert.deepEqual(await of(name), [])
    assert.deepEqual(await of('*.domain.example'), [])
    assert.deepEqual(await of('shop.domain.example'), ['wrong-name'])
    assert.deepEqual(await of('*.www.domain.example'), ['wrong-name'])
  })
  test('a name that the newest does not have is wanted from the CA; of another one, the virtual host is to blame', async () => {
    const { leafPem } = await (await createAuthority()).sell({ names: ['shop.domain.example'] })
    assert.equal(found(leafPem)[0]?.repair, 'onecert apply www')
    const [stale, nameless] = found(leafPem, Date.now(), 'leaf7')
    assert.deepEqual([stale?.reason, nameless?.reason], ['old-certificate', 'wrong-name'])
    assert.match(nameless?.repair ?? '', /^look which virtual host/)
  })
  test('dates, those of the intermediate too', async () => {
    const authority = await createAuthority()
    const long = await authority.sell({ names: [name], toDay: 3_000 })
    assert.deepEqual(served(long.leafPem + authority.intermediatePem), [])
    const [only, ...others] = found(long.leafPem + authority.intermediatePem, Date.now() + 2_000 * dayMs)
    assert.deepEqual([only?.reason, only?.severity, others], ['expired', 'critical', []])
    assert.match(only?.what ?? '', /^sends an intermediate that expired at /)
    const early = await authority.sell({ names: [name], fromDay: 5 })
    const [soon] = found(early.leafPem)
    assert.deepEqual([soon?.reason, soon?.severity], ['not-yet-valid', 'critical'])
  })
  test('keys', () => {
    assert.deepEqual(served(selfSigned('-newkey', 'rsa:1024')), ['weak-key'])
    assert.deepEqual(served(selfSigned('-newkey', 'rsa:2048')), [])
    const curve = (named: string) => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${named}`]
    assert.deepEqual(served(selfSigned(...curve('secp224r1'))), ['weak-key'])
    assert.deepEqual(served(selfSigned(...curve('prime256v1'))), [])
  })
  test('signatures, but not that of a certificate that signed itself', async () => {
    const authority = await createAuthority()
    const { leafPem } = await authority.sell({ names: [name] })
    const root = selfSigned('-newkey', 'rsa:2048', '-sha1')
    assert.deepEqual(served(leafPem + root), [])
    assert.deepEqual(served(leafPem + signedWithSha1()), ['weak-signature'])
  })
})

/** A certificate that another key has signed, with SHA-1. */
function signedWithSha1(): string {
  const script = `set -e; cd "$(mktemp -d)"; exec 2>/dev/null
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=Root -keyout root.key -out root.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=Intermediate -keyout any.key -out any.csr
    openssl x509 -req -sha1 -in any.csr -CA root.pem -CAkey root.key -set_serial 2
    rm -r "$PWD"`
  return execFileSync('sh', ['-c', script], { stdio: 'pipe' }).toString()
}
