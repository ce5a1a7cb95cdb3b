import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { visit } from '../real/visit.ts'

const run = promisify(execFile)
const inside = 'app.lab.example'

describe('a reverse proxy that encrypts to its upstream again, with a certificate of the local CA', () => {
  let fleet: RealFleet
  before(async () => {
    fleet = await startFleet({ edge: 'nginx', app: 'nginx' })
    await fleet.configure(asProxied)
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  function asProxied(document: FleetDocument): void {
    const { service } = fleet.server('app')
    document.issuers.inside = { 'local-ca': { 'common-name': 'lab inside' } }
    document.certificates.inside = { names: [inside], issuer: 'inside' }
    document.servers.app.files = { inside: document.servers.app.files.www }
    for (const name of ['edge', 'app']) document.servers[name]['key-folders'] = [join(fleet.directory, name)]
    document.sites = {
      [siteName]: {
        certificate: 'www',
        'reverse-proxy': {
          servers: ['edge'],
          upstreams: [{ url: `https://${service.address}:${service.port}`, server: 'app' }],
        },
      },
      [inside]: { certificate: 'inside', dns: ['app'] },
    }
  }

  test('the proxy checks the upstream against the root of the local CA, through a renewal of either', async () => {
    const root = join(fleet.directory, 'inside.pem')
    await writeFile(root, (await fleet.run('ca', 'inside')).stdout)
    const { service } = fleet.server('edge')
    const upstream = fleet.server('app').service
    const configuration = await readFile(service.configuration, 'utf8')
    const pass = `location / {
      proxy_pass https://${upstream.address}:${upstream.port};
      proxy_ssl_trusted_certificate ${root};
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 2;
      proxy_ssl_server_name on;
      proxy_ssl_name ${inside};
    }`
    await writeFile(service.configuration, configuration.replace(/location \/ \{.*\}/, pass))
    const [program = '', ...words] = service.reload
    await run(program, words)
    const through = async () => (await visit(service, siteName)).body
    for (let tries = 0; tries < 100 && (await through()) !== `this is ${siteName}\n`; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(await through(), `this is ${siteName}\n`, 'answered by the upstream, behind a chain that was checked')

    for (const certificate of ['inside', 'www']) {
      if (certificate === 'www') await fleet.buy({ names: [siteName] })
      const { exit, stderr } = await fleet.run('apply', certificate)
      assert.equal(exit, 0, stderr)
      assert.equal(await through(), `this is ${siteName}\n`, certificate)
    }
    const { exit, stderr } = await fleet.run('renew', 'inside', '--rekey')
    assert.equal(exit, 0, stderr)
    assert.equal(await through(), `this is ${siteName}\n`, 'behind a new key of the upstream')
  })

  test('no key of the site is on the upstream, and its own key is none of the proxy: nothing is wrong', async () => {
    const { exit, stdout } = await fleet.run('audit')
    assert.equal(exit, 0, stdout)
    assert.match(stdout, /looked at 2 endpoints \(10 handshakes\), the files of 2 servers, 1 upstream/)
    const copies = JSON.parse((await fleet.run('ledger', 'keys', '--json')).stdout)
    const places = JSON.stringify(copies)
    assert.match(places, /"server":"edge","lineage":"www"/)
    assert.doesNotMatch(places, /"server":"app","lineage":"www"/)
  })
})
