import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'

const httpPort = 5002
let pebble: Pebble

before(async () => {
  pebble = await startPebble({ httpPort })
})
after(() => pebble.stop())

/** The issuer is Pebble; challenges are answered as `ways` says. */
async function askPebble(
  fleet: RealFleet,
  ways: Record<string, unknown>,
  change: (document: FleetDocument) => void = () => {},
): Promise<void> {
  const trust = join(fleet.directory, 'pebble.pem')
  await writeFile(trust, pebble.trust)
  await fleet.configure((document) => {
    document.issuers = { lab: { acme: pebble.directoryUrl, email: 'ops@lab.example', 'ca-file': trust, ...ways } }
    document.certificates.www.issuer = 'lab'
    change(document)
  })
  await pebble.addA(
    siteName,
    fleet.servers.map(({ service }) => service.address),
  )
}

const webroot = (fleet: RealFleet) => ({
  'http-01': { webroot: fleet.servers[0]?.webroot, port: httpPort },
})

describe('a certificate from an ACME CA', () => {
  test('http-01 on every server of the site: issued, rolled out and proven with one command; nothing is left behind', async () => {
    await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort } })
    await askPebble(fleet, webroot(fleet))
    const { exit, stdout, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /generation 1 issued/)
    const [server] = fleet.servers
    assert.equal(await server?.served(), await server?.onDisk())
    assert.notEqual(await server?.served(), server?.original)
    assert.deepEqual(await readdir(server?.webroot ?? ''), [])
    assert.equal((await fleet.run('apply')).exit, 0)
  })
})
