import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../base/scratch.ts'
import { audited, siteName, startFleet } from '../real/fleet.ts'
import { startLoad } from '../real/load.ts'
import { startNginx } from '../real/nginx.ts'
import { chooseEndpoint } from '../real/running.ts'
import { visit } from '../real/visit.ts'

const path = '/app'
const answer = 'this is the application\n'

test('nginx, HAProxy, Apache and Caddy as proxies of one upstream: both renewals under load, and nothing fails', async () => {
  const place = await chooseEndpoint({})
  const lines = [`location / { default_type text/plain; return 200 "${answer.trim()}\\n"; }`]
  await using upstream = await startNginx({ ...place, sites: [], http: { port: place.port, lines } })
  const { address, port } = upstream
  const url = `http://${address}:${port}`
  await using folder = await scratch()
  const backend = join(folder.path, 'backend.cfg')
  await writeFile(backend, `backend app\n  mode http\n  server app ${address}:${port}\n`)
  await using fleet = await startFleet({
    'edge-1': { kind: 'nginx', lines: [`location = ${path} { proxy_pass ${url}; }`] },
    'edge-2': {
      kind: 'haproxy',
      further: backend,
      lines: [`http-request allow if { path ${path} }`, `use_backend app if { path ${path} }`],
    },
    'edge-3': { kind: 'apache', lines: [`ProxyPass ${path} ${url}${path}`] },
    'edge-4': { kind: 'caddy', lines: [`handle ${path} {\n reverse_proxy ${address}:${port}\n }`] },
  })
  const names = fleet.servers.map(({ name }) => name)
  const configure = (servers: readonly string[], rest = {}) =>
    fleet.configure((document) => {
      document.issuers = { own: { 'local-ca': { 'common-name': 'Lab' } } }
      document.certificates = {
        www: { names: [siteName], issuer: 'own', key: { type: 'ec-p256', 'keep-for': '180d' } },
      }
      document.sites[siteName] = { certificate: 'www', 'reverse-proxy': { servers, ...rest, upstreams: [url] } }
    })
  const done = async (...words: string[]) => {
    const { exit, stdout, stderr } = await fleet.run(...words)
    assert.equal(exit, 0, `onecert ${words.join(' ')}: ${stderr}`)
    return stdout
  }
  const withStandby = () => configure(names, { standby: ['edge-4'] })
  await withStandby()
  await done('apply')
  const targets = fleet.servers.map(({ service }) => service)
  // What a reload costs kept connections is in the README, from bench rotate.
  const root = await done('ca', 'own')
  await using load = await startLoad({ targets, name: siteName, path, root, kept: 0 })
  const leaves = new Set<string>()
  for (const how of ['--force', '--rekey']) {
    await done('renew', 'www', how)
    const served = new Set(await Promise.all(fleet.servers.map((server) => server.served())))
    assert.equal(served.size, 1, 'all of them serve the same')
    for (const leaf of served) leaves.add(leaf)
    for (const target of targets) assert.equal((await visit(target, siteName, path)).body, answer)
  }
  assert.equal(leaves.size, 2)
  const { fresh, answers, reasons } = await load.stop()
  assert.equal(fresh.failed, 0, JSON.stringify(reasons))
  assert.deepEqual(Object.keys(answers).sort(), targets.map((target) => target.address).sort())
  assert.ok(Object.values(answers).every((count) => count > 20))
  assert.deepEqual(await audited(fleet), [])

  // The proxy that no name points to is the one with last year's certificate.
  const standby = fleet.server('edge-4')
  const old = await standby.served()
  await configure(names.slice(0, 3))
  await done('renew', 'www', '--force')
  await withStandby()
  assert.equal(await standby.served(), old)
  assert.deepEqual(await audited(fleet), ['edge-4 not-current', 'edge-4 standby-stale'])
})
