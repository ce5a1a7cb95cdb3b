import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startFleet } from '../real/fleet.ts'
import { startSshd } from '../real/sshd.ts'

/** Counts what goes through to a server, and keeps it. */
async function startRelay(
  address: string,
  port: number,
): Promise<{ server: Server; port: number; sent: () => Buffer }> {
  const chunks: Buffer[] = []
  const server = createServer((client) => {
    const upstream = connect(port, address)
    client.on('data', (chunk: Buffer) => chunks.push(chunk))
    client.pipe(upstream).pipe(client)
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
  }).listen(0, address)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port, sent: () => Buffer.concat(chunks) }
}

test('a server with another host key gets no byte of the key: ssh ends before it would have logged in', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  await using impostor = await startSshd({ address: server.service.address })
  const relay = await startRelay(impostor.address, impostor.port)
  const point = (fingerprint: string | undefined) =>
    fleet.configure((document) => {
      document.servers['eu-1'].ssh = { ...document.servers['eu-1'].ssh, port: relay.port, identity: impostor.clientKey }
      if (fingerprint) document.servers['eu-1']['host-key'] = fingerprint
    })
  try {
    await point(undefined)
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 75)
    assert.match(stderr, /SSH_HOST_KEY_CHANGED/)
    assert.ok(stderr.includes(impostor.hostKeys[0]?.fingerprint ?? '-'), 'the fingerprint that it presented')
    assert.ok(stderr.includes(server.sshd.hostKeys[0]?.fingerprint ?? '-'), 'the fingerprint that was confirmed')
    const refused = relay.sent().length
    assert.ok(refused < 4_000, `${refused} bytes are more than greetings and key exchange`)
    assert.ok(!(await impostor.output()).includes('Accepted'), 'nobody logged in')

    // The same road with the right pin carries it: what was counted is what stopped.
    await point(impostor.hostKeys[0]?.fingerprint)
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.ok(relay.sent().length - refused > 20_000)
  } finally {
    relay.server.close()
  }
})

test('a host key that nobody confirmed is refused, and scan shows it without logging in', async () => {
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd: { hostKeyTypes: ['ed25519', 'rsa'] } } })
  const server = fleet.server('eu-1')
  const [ed25519, rsa] = server.sshd.hostKeys.map(({ fingerprint }) => fingerprint)
  await fleet.configure((document) => {
    delete document.servers['eu-1']['host-key']
  })
  const refused = await fleet.run('apply')
  assert.equal(refused.exit, 75)
  assert.match(refused.stderr, /SSH_HOST_KEY_UNKNOWN/)
  assert.match(refused.stderr, /onecert server scan eu-1/)
  const scanned = await fleet.run('server', 'scan', 'eu-1')
  assert.equal(scanned.exit, 0, scanned.stderr)
  assert.ok(scanned.stdout.includes(ed25519 ?? '-'))
  assert.ok(!(await server.sshd.output()).includes('Accepted'))

  const written = await fleet.run('server', 'scan', 'eu-1', '--write')
  assert.equal(written.exit, 0, written.stderr)
  assert.ok((await readFile(fleet.fleetFile, 'utf8')).includes(ed25519 ?? '-'))
  assert.equal((await fleet.run('apply')).exit, 0)

  // The pin may be for another of the server's keys than the one that ssh likes best; two are allowed for a rotation.
  for (const pins of [[rsa], [`SHA256:${'A'.repeat(43)}`, ed25519]]) {
    await fleet.configure((document) => {
      document.servers['eu-1']['host-key'] = pins
    })
    await fleet.buy()
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  }
})

test('a known_hosts file, also with a certificate authority for host keys, is trusted instead of a pin', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-hosts-'))
  const authority = join(directory, 'ca')
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authority])
  const knownHosts = join(directory, 'known_hosts')
  await writeFile(knownHosts, `@cert-authority * ${await readFile(`${authority}.pub`, 'utf8')}`)
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const { address } = server.service
  await using signed = await startSshd({ address, hostCertificates: { authority, names: [address] } })
  await using unsigned = await startSshd({ address })
  for (const [sshd, status] of [
    [unsigned, 75],
    [signed, 0],
  ] as const) {
    await fleet.configure((document) => {
      const entry = document.servers['eu-1']
      entry.ssh = { ...entry.ssh, port: sshd.port, identity: sshd.clientKey }
      delete entry['host-key']
      entry['known-hosts'] = knownHosts
    })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, status, stderr)
  }
  await rm(directory, { recursive: true })
})
