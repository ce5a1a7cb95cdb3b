import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { Finding } from '../../src/audit/finding.ts'
import { startHaproxyBalancer } from '../real/balancer.ts'
import { writeCertificate } from '../real/certificate.ts'
import { audited, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { startNginx } from '../real/nginx.ts'

/** Before all others in nginx's file: the default. */
async function withDefault({ service }: RealServer, site: string): Promise<void> {
  const { configuration, address, port, reload } = service
  const lines = await readFile(configuration, 'utf8')
  await writeFile(
    configuration,
    lines.replace(/^ {2}server \{/m, `  server { listen ${address}:${port} ssl; ${site} }\n$&`),
  )
  const [program = '', ...words] = reload
  await promisify(execFile)(program, words)
}

test('a site that is to be the default, and is not: it is proved under its name only, which is not enough', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'apache' })
  await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  const stranger = await writeCertificate(fleet.directory, ['stranger.lab.example'])
  await withDefault(
    fleet.server('eu-1'),
    `server_name stranger.lab.example; ssl_certificate ${stranger.chain}; ssl_certificate_key ${stranger.key};`,
  )
  assert.deepEqual(await audited(fleet), [], 'nobody asked for what is seen without a name')

  await fleet.configure((document) => {
    document.sites[siteName]['without-sni'] = true
    // The stranger's own key lies beside the fleet.
    for (const name of ['eu-1', 'us-1']) document.servers[name]['key-folders'] = [fleet.server(name).base]
  })
  assert.deepEqual(await audited(fleet), ['eu-1 other-certificate'])
  const { stdout } = await fleet.run('audit')
  assert.match(stdout, new RegExp(`${fleet.server('eu-1').service.address}:\\d+ \\(no name\\)`))
  const status = await fleet.run('status')
  assert.match(status.stdout, /eu-1 .*\(no name\) .*drift/)
  assert.match(status.stdout, /us-1 .*\(no name\) .*proven/)

  const renewed = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.notEqual(exit, 0)
  assert.match(stderr, /\(no name\) serves [0-9a-f]{8}, expected/)
  assert.notEqual(await fleet.server('eu-1').served(), renewed.fingerprint, 'it went back')
})

test('a balancer that leads clients without a name elsewhere: each server is right, and what they get is not', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  await fleet.buy()
  const elsewhere = ['other.lab.example'] as const
  await using other = await startNginx({
    sites: [{ names: elsewhere, ...(await writeCertificate(fleet.directory, elsewhere)) }],
  })
  const members = fleet.servers.map(({ name, service }) => ({ name, address: service.address, port: service.port }))
  await using balancer = await startHaproxyBalancer(members, { proxyProtocol: false, nameless: other })
  const { address, port } = balancer
  const balanced = (more: object) =>
    fleet.configure((document) => {
      const servers = members.map(({ name }) => name)
      document.sites[siteName] = { certificate: 'www', 'load-balancer': { address, port, servers }, ...more }
      for (const name of servers) document.servers[name]['key-folders'] = [fleet.server(name).base]
    })
  await balanced({})
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.deepEqual(await audited(fleet), [])

  await balanced({ 'without-sni': true })
  const { findings } = await fleet.run.json<{ findings: Finding[] }>('audit')
  assert.deepEqual(
    findings.map(({ reason, site, place }) => [reason, site, place]),
    [['other-member', siteName, `${address}:${port} (no name)`]],
  )
  const { stdout } = await fleet.run('status')
  assert.match(stdout, /\(balancer\) +\(no name\) .*drift +sample of (\d+): \1 × /)
  assert.match(stdout, /\(balancer\) +www\.lab\.example .*proven/)
  assert.match(stdout, /^4 of 4 endpoints proven, 1 of 2 samples through balancers$/m)
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 69, stderr)
  assert.match(stderr, /sample of \d+ connections through [0-9.]+:\d+ \(no name\)/)
})
