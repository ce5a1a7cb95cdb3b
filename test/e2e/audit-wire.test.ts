import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Finding } from '../../src/audit/finding.ts'
import { createAuthority } from '../authority.ts'
import { writeCertificate } from '../real/certificate.ts'
import { type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { startNginx } from '../real/nginx.ts'

const run = promisify(execFile)

async function found(
  fleet: RealFleet,
): Promise<{ exit: number | null; findings: readonly Finding[]; reasons: string[] }> {
  const { exit, stdout, stderr } = await fleet.run('audit', '--json')
  assert.notEqual(stdout, '', stderr)
  const all = (JSON.parse(stdout) as { findings: Finding[] }).findings
  // That the configuration names them is how some of this is staged.
  const findings = all.filter(({ reason }) => reason !== 'other-files')
  return { exit, findings, reasons: findings.map(({ reason }) => reason) }
}

async function reload(fleet: RealFleet): Promise<void> {
  const [program = '', ...words] = fleet.server('eu-1').service.reload
  await run(program, words)
}

/** Old workers serve for a moment after a reload. */
async function untilFound(fleet: RealFleet, ...expected: readonly string[]) {
  const seen: string[] = []
  for (let tries = 0; tries < 12; tries++) {
    const result = await found(fleet)
    if (result.reasons.join() === expected.join()) return result
    seen.push(result.reasons.join())
  }
  return assert.fail(`never ${expected.join()}, but ${seen.map((each) => `[${each}]`).join(' ')}`)
}

async function applied(fleet: RealFleet): Promise<void> {
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
}

describe('what one nginx serves', () => {
  let fleet: RealFleet
  let good: string
  const current = (file: string) => join(fleet.server('eu-1').base, 'current', file)

  before(async () => {
    fleet = await startFleet({ 'eu-1': 'nginx' })
    const other = await createAuthority('Other')
    // Two intermediates: the CA's own, and its root signed by an older one.
    const crossed = await other.crossSign(fleet.authority.rootPem)
    await writeFile(join(fleet.directory, 'bought', 'chain.pem'), fleet.authority.intermediatePem + crossed)
    await applied(fleet)
    good = await readFile(fleet.server('eu-1').service.configuration, 'utf8')
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  /** The service reads other files than those that onecert brings. */
  async function serves(chain: string, key = current('privkey.pem'), lines = ''): Promise<void> {
    const changed = good.replace(
      /ssl_certificate .*;\n *ssl_certificate_key .*;/,
      `ssl_certificate ${chain}; ssl_certificate_key ${key}; ${lines}`,
    )
    assert.notEqual(changed, good)
    await writeFile(fleet.server('eu-1').service.configuration, changed)
    await reload(fleet)
  }
  async function servesPem(...pems: readonly string[]): Promise<void> {
    const file = join(fleet.directory, 'sent.pem')
    await writeFile(file, pems.join(''))
    await serves(file)
  }
  const blocks = async () =>
    (await readFile(current('fullchain.pem'), 'utf8')).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g) ?? []

  test('as it was brought: nothing', async () => {
    assert.equal((await blocks()).length, 3)
    await untilFound(fleet)
  })

  test('the intermediates in the wrong order', async () => {
    const [leaf = '', first = '', second = ''] = await blocks()
    await servesPem(leaf, second, first)
    const { exit, findings } = await untilFound(fleet, 'chain-order')
    assert.equal(exit, 1)
    assert.equal(
      findings[0]?.expected?.split(' ').toReversed().slice(0, 2).join(),
      findings[0]?.served?.split(' ').slice(1).join(),
    )
  })

  test('a certificate of another CA behind them', async () => {
    const { intermediatePem } = await createAuthority('Stranger')
    await servesPem(...(await blocks()), intermediatePem)
    const { exit, findings } = await untilFound(fleet, 'chain-foreign')
    assert.equal(exit, 1)
    assert.match(findings[0]?.what ?? '', /"Stranger Intermediate"/)
  })

  test('the root too: a notice, and no drift', async () => {
    await servesPem(...(await blocks()), fleet.authority.rootPem)
    const { findings } = await untilFound(fleet, 'chain-with-root')
    assert.equal(findings[0]?.severity, 'notice')
  })

  test('the leaf alone', async () => {
    await servesPem((await blocks())[0] ?? '')
    await untilFound(fleet, 'incomplete-chain')
  })

  test('a certificate for another name', async () => {
    const directory = join(fleet.directory, 'shop')
    await mkdir(directory)
    const { chain, key } = await writeCertificate(directory, ['shop.lab.example'])
    await serves(chain, key)
    const { findings } = await untilFound(fleet, 'other-certificate', 'wrong-name')
    assert.match(findings[1]?.served ?? '', /certificate has "?shop\.lab\.example/)
  })

  test('an RSA key of 1024 bits, signed with SHA-1, at a server that takes TLS 1.1', async () => {
    const file = (name: string) => join(fleet.directory, name)
    const openssl = (...words: readonly string[]) => run('openssl', words)
    const san = file('san')
    await writeFile(san, `subjectAltName=DNS:${siteName}\n`)
    const key = (bits: number) => ['-newkey', `rsa:${bits}`, '-nodes']
    await openssl('req', '-x509', ...key(2048), '-subj', '/CN=Old', '-keyout', file('ca.key'), '-out', file('ca.pem'))
    await openssl('req', ...key(1024), '-subj', `/CN=${siteName}`, '-keyout', file('weak.key'), '-out', file('csr'))
    const ca = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-set_serial', '7']
    await openssl('x509', '-req', '-sha1', '-in', file('csr'), ...ca, '-extfile', san, '-out', file('weak.pem'))
    const old = 'ssl_protocols TLSv1.1 TLSv1.2; ssl_ciphers DEFAULT:@SECLEVEL=0;'
    await serves(file('weak.pem'), file('weak.key'), old)
    const { findings } = await untilFound(fleet, 'other-certificate', 'weak-key', 'weak-signature', 'weak-protocol')
    assert.match(findings[1]?.served ?? '', /RSA 1024 bits, minimum 2048/)
    assert.match(findings[2]?.served ?? '', /sha1WithRSA/i)
    assert.equal(findings[3]?.what, 'takes TLSv1.1')
    await serves(current('fullchain.pem'), current('privkey.pem'), old)
    const { exit } = await untilFound(fleet, 'weak-protocol')
    assert.equal(exit, 0)
    await fleet.configure((document) => {
      document.servers['eu-1'].probe = 'through-server'
    })
    await untilFound(fleet, 'weak-protocol')
    await fleet.configure(() => {})
  })
})

test('two nginx share a port: an old one beside the new one is found, and a stranger beside it', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const { service, base } = fleet.server('eu-1')
  const good = await readFile(service.configuration, 'utf8')
  await writeFile(service.configuration, good.replace(/(listen .* ssl);/, '$1 reuseport;'))
  await reload(fleet)
  await applied(fleet)
  const old = join(fleet.directory, 'old')
  await cp(join(base, 'current'), old, { recursive: true, dereference: true })
  await fleet.buy()
  await applied(fleet)
  assert.deepEqual((await found(fleet)).reasons, [])

  const shared = { address: service.address, port: service.port, reuseport: true }
  const files = { names: [siteName] as const, chain: join(old, 'fullchain.pem'), key: join(old, 'privkey.pem') }
  {
    await using _beside = await startNginx({ ...shared, sites: [files] })
    const { findings, exit } = await untilFound(fleet, 'old-process')
    assert.equal(exit, 1)
    assert.match(findings[0]?.what ?? '', /^[1-4] of 5 connections show an older certificate, the others the newest/)
    assert.match(findings[0]?.expected ?? '', /^generation 2/)
    assert.match(findings[0]?.served ?? '', /^generation 1/)
    // Through the connection to the server too.
    await fleet.configure((document) => {
      document.servers['eu-1'].probe = 'through-server'
    })
    await untilFound(fleet, 'old-process')
    await fleet.configure(() => {})
  }
  await untilFound(fleet)

  const foreign = join(fleet.directory, 'foreign')
  await mkdir(foreign)
  const stranger = await writeCertificate(foreign, [siteName])
  await using _beside = await startNginx({ ...shared, sites: [{ names: [siteName], ...stranger }] })
  const { findings } = await untilFound(fleet, 'mixed-answers')
  assert.match(findings[0]?.what ?? '', /^[1-4] of 5 connections show a certificate that is none of this lineage/)
})
