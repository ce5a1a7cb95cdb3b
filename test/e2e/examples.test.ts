import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { digTxt } from '../issue/dns/lookup.ts'
import { type BindKey, startBind, updateZone } from '../real/bind.ts'
import { nsupdateProgram } from '../real/dns-program.ts'
import { configureExample } from '../real/example.ts'
import { type RealFleet, startFleet } from '../real/fleet.ts'
import { startPebble } from '../real/pebble.ts'
import { startPersistCa } from '../real/persist-ca.ts'
import { chooseEndpoint, makeDirectory } from '../real/running.ts'

const run = promisify(execFile)
const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }

/** With one command every server serves a certificate for these names; the next one finds nothing to do. */
async function proven(fleet: RealFleet, names: readonly string[]): Promise<void> {
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /generation 1 issued/)
  for (const server of fleet.servers) {
    assert.equal(await server.served(), await server.onDisk())
    const { subjectAltName } = new X509Certificate(await readFile(server.paths[0] ?? ''))
    assert.deepEqual(subjectAltName?.split(', ').sort(), names.map((name) => `DNS:${name}`).sort())
  }
  const [one, another = one] = await Promise.all(fleet.servers.map((server) => server.served()))
  assert.equal(another, one)
  assert.equal((await fleet.run('plan')).exit, 0)
}

describe('examples of ACME, run as they are but for addresses, ports, paths and the CA', () => {
  test('acme-http-01.yaml: two webroots, which are empty again at the end', async () => {
    const httpPort = 5010
    await using pebble = await startPebble({ httpPort })
    await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort }, 'us-1': { kind: 'nginx', httpPort } })
    await configureExample(fleet, 'acme-http-01.yaml', { pebble, httpPort })
    await proven(fleet, ['www.domain.example', 'shop.domain.example'])
    for (const { webroot } of fleet.servers) assert.deepEqual(await readdir(webroot), [])
  })

  test('acme-stateless.yaml: the servers answer from the lines that onecert account prints', async () => {
    const httpPort = 5011
    const lines = await makeDirectory('snippet')
    const httpLines = [`include ${lines}/*.conf;`]
    await using pebble = await startPebble({ httpPort })
    await using fleet = await startFleet({
      'eu-1': { kind: 'nginx', httpPort, httpLines },
      'us-1': { kind: 'nginx', httpPort, httpLines },
    })
    await configureExample(fleet, 'acme-stateless.yaml', { pebble, httpPort })
    const { exit, stdout, stderr } = await fleet.run('account', 'letsencrypt', '--snippet', 'nginx')
    assert.equal(exit, 0, stderr)
    await writeFile(join(lines, 'acme.conf'), stdout)
    for (const { service } of fleet.servers) {
      const [program = '', ...words] = service.reload
      await run(program, words)
    }
    await proven(fleet, ['www.domain.example'])
    await rm(lines, { recursive: true })
  })

  test('acme-listen.yaml: the proxy passes challenges on, and nobody listens any more at the end', async () => {
    const httpPort = 5012
    const { address, port } = await chooseEndpoint({})
    const listen = `${address}:${port}`
    const httpLines = [`location /.well-known/acme-challenge/ { proxy_pass http://${listen}; }`]
    await using pebble = await startPebble({ httpPort })
    await using fleet = await startFleet({ 'edge-1': { kind: 'nginx', httpPort, httpLines } })
    await configureExample(fleet, 'acme-listen.yaml', { pebble, httpPort, listen })
    await proven(fleet, ['app.domain.example'])
    await assert.rejects(fetch(`http://${listen}/`))
  })

  test('acme-dns-rfc2136.yaml and acme-dns-exec.yaml: BIND takes the records, and has none at the end', async () => {
    await using bind = await startBind({ keys: [key], zones: [{ name: 'domain.example' }] })
    const nameServer = { server: bind.server, port: bind.port, keyFile: await bind.keyFile(key) }
    await using pebble = await startPebble({ dnsServer: bind.server })
    await using two = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
    await configureExample(two, 'acme-dns-rfc2136.yaml', { pebble, nameServer })
    await proven(two, ['domain.example', '*.domain.example'])
    assert.deepEqual(await digTxt(bind, '_acme-challenge.domain.example'), [])

    await using one = await startFleet({ 'web-1': 'nginx' })
    const program = await nsupdateProgram(one.directory, bind, key)
    await configureExample(one, 'acme-dns-exec.yaml', { pebble, nameServer, program: program.file })
    await proven(one, ['intranet.domain.example'])
    assert.deepEqual(
      (await program.calls()).map(({ words }) => words),
      ['gandi add', 'gandi remove'],
    )
    assert.deepEqual(await digTxt(bind, '_acme-challenge.intranet.domain.example'), [])
  })

  test('acme-dns-persist.yaml: the record that onecert account prints is set by hand, and stands at the end', async () => {
    await using bind = await startBind({ keys: [key], zones: [{ name: 'domain.example' }] })
    await using pebble = await startPebble({ alwaysValid: true })
    await using ca = await startPersistCa({ pebble, dns: bind, draft: '00' })
    await using fleet = await startFleet({ 'eu-1': 'nginx' })
    const nameServer = { server: bind.server, port: bind.port }
    await configureExample(fleet, 'acme-dns-persist.yaml', { pebble, directoryUrl: ca.directoryUrl, nameServer })
    const { stdout } = await fleet.run('account', 'letsencrypt')
    const lines = stdout.split('\n').filter((line) => line.startsWith('_validation-persist.'))
    assert.equal(lines.length, 1)
    await updateZone(bind, key, ...lines.map((line) => `add ${line.replace(' TXT ', ' 60 TXT ')}`))
    await proven(fleet, ['domain.example', '*.domain.example'])
    const [value = ''] = await digTxt(bind, '_validation-persist.domain.example')
    assert.match(value, /; policy=wildcard$/)
  })
})
