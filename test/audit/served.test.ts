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
  const served = (pem: string) => {
    const certificates = parseCertificates(Buffer.from(pem), { file: 'test' })
    return reasons(
      shown(
        ['leaf8', 'intermediate'],
        certificates.map(({ der }) => der),
      ),
    )
  }
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
