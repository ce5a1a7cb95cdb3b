import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { askCa } from '../real/acme-fleet.ts'
import { type FleetDocument, type Kind, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { startNginx } from '../real/nginx.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'
import { chooseEndpoint } from '../real/running.ts'

const run = promisify(execFile)
const httpPort = 5004
let pebble: Pebble

before(async () => {
  pebble = await startPebble({ httpPort })
})
after(() => pebble.stop())

/** An HTTP server beside what is there, at the address that a CA comes to. */
const plainHttp: Readonly<Partial<Record<Kind, (address: string, lines: string) => string>>> = {
  nginx: (address, lines) =>
    `server {\n listen ${address}:${httpPort};\n ${lines}\n location / { return 301 https://$host$request_uri; }\n}`,
  apache: (address, lines) =>
    `Listen ${address}:${httpPort}\n<VirtualHost ${address}:${httpPort}>\n ServerName ${siteName}\n ${lines}\n</VirtualHost>\n`,
  haproxy: (address, lines) =>
    `frontend web\n  bind ${address}:${httpPort}\n  ${lines}\n  http-request redirect scheme https\n`,
}

async function addHttp({ kind, service }: RealServer, lines: string): Promise<void> {
  const text = plainHttp[kind]?.(service.address, lines) ?? assert.fail(kind)
  if (kind === 'nginx') {
    const configuration = await readFile(service.configuration, 'utf8')
    await writeFile(service.configuration, configuration.replace(/\}\s*$/, `${text}\n}\n`))
  } else await appendFile(service.configuration, text)
  const [program = '', ...words] = service.reload
  await run(program, words)
  await until(() => listens(service.address, httpPort))
}

const listens = (address: string, port: number) =>
  fetch(`http://${address}:${port}/`, { redirect: 'manual' }).then(
    () => true,
    () => false,
  )

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 500, 'it did not come to that in 5 s')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('stateless: nginx, Apache and HAProxy answer by themselves from what the account command prints; no server is logged in to', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'apache', 'ap-1': 'haproxy' })
  await askCa(fleet, { pebble, httpPort, ways: { 'http-01': { stateless: true, port: httpPort } } })
  const { thumbprint } = await fleet.run.json<{ thumbprint: string }>('account', 'lab')
  for (const server of fleet.servers) {
    const { exit, stdout, stderr } = await fleet.run('account', 'lab', '--snippet', server.kind)
    assert.equal(exit, 0, stderr)
    await addHttp(server, stdout)
    const answer = await fetch(`http://${server.service.address}:${httpPort}/.well-known/acme-challenge/a_B-9`)
    assert.equal(answer.status, 200, server.kind)
    assert.equal(await answer.text(), `a_B-9.${thumbprint}`, server.kind)
    for (const path of [
      '/well-known/acme-challenge/a',
      '/xwell-known/acme-challenge/a',
      '/.well-known/acme-challenge/a/b',
    ]) {
      const other = await fetch(`http://${server.service.address}:${httpPort}${path}`, { redirect: 'manual' })
      assert.ok(!(await other.text()).includes(thumbprint), `${server.kind} ${path}`)
    }
  }
  // Nothing can be written where nobody can log in.
  for (const { sshd } of fleet.servers) await sshd.stop()
  const { exit, stdout, stderr } = await fleet.run('issue')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /generation 1 issued/)
  assert.equal(stderr.includes('note'), false, stderr)
  for (const { webroot } of fleet.servers) assert.deepEqual(await readdir(webroot), [])
})

describe('listen: the servers redirect to us', () => {
  let fleet: RealFleet
  let own: { address: string; port: number }

  before(async () => {
    own = await chooseEndpoint({})
    const httpLines = [
      `location /.well-known/acme-challenge/ { return 307 http://${own.address}:${own.port}$request_uri; }`,
    ]
    const nginx = { kind: 'nginx', httpPort, httpLines } as const
    fleet = await startFleet({ 'eu-1': nginx, 'us-1': nginx })
    await askCa(fleet, {
      pebble,
      httpPort,
      ways: { 'http-01': { listen: `${own.address}:${own.port}`, port: httpPort } },
    })
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  test('a port that is taken is named, and nothing was issued', async () => {
    const taken = createServer().listen(own.port, own.address)
    await once(taken, 'listening')
    const { exit, stderr } = await fleet.run('issue')
    taken.close()
    await once(taken, 'close')
    assert.equal(exit, 73, stderr)
    assert.match(stderr, /CHALLENGE_CANNOT_LISTEN/)
    assert.ok(stderr.includes(`cannot listen at ${own.address}:${own.port}`), stderr)
    assert.match(stderr, /EADDRINUSE/)
  })

  test('we answer, and the port is free again', async () => {
    const { exit, stdout, stderr } = await fleet.run('issue')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /generation 1 issued/)
    const again = createServer().listen(own.port, own.address)
    await once(again, 'listening')
    again.close()
    await once(again, 'close')
    for (const { webroot } of fleet.servers) assert.deepEqual(await readdir(webroot), [])
  })
})

test('load balancer: every member is looked at, and the balancer itself; which of them does not answer is said', async () => {
  const nginx = { kind: 'nginx', httpPort } as const
  await using fleet = await startFleet({ 'web-1': nginx, 'web-2': nginx })
  const { address } = await chooseEndpoint({})
  const members = fleet.servers.map(({ service }) => `server ${service.address}:${httpPort};`).join(' ')
  const balance = `stream { upstream members { ${members} } server { listen ${address}:${httpPort}; proxy_pass members; } }`
  await using balancer = await startNginx({
    ...{ address, port: httpPort, sites: [] },
    mainLines: ['load_module /usr/lib/nginx/modules/ngx_stream_module.so;', balance],
  })
  const elsewhere = join(fleet.directory, 'elsewhere')
  await mkdir(elsewhere)
  const ask = async (to: string, change: (document: FleetDocument) => void = () => {}) => {
    await askCa(fleet, {
      pebble,
      httpPort,
      change: (document) => {
        const servers = fleet.servers.map(({ name }) => name)
        document.sites[siteName] = { certificate: 'www', 'load-balancer': { address: to, servers } }
        change(document)
      },
    })
    await pebble.addA(siteName, [balancer.address])
  }
  const failed = async (told: string, ...not: string[]) => {
    const { exit, stderr } = await fleet.run('issue')
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /CHALLENGE_NOT_SERVED/)
    assert.ok(stderr.includes(told), stderr)
    for (const each of not) assert.ok(!stderr.includes(`${each} (`), stderr)
    for (const { webroot } of fleet.servers) assert.deepEqual(await readdir(webroot), [])
  }

  await ask(balancer.address, (document) => {
    document.servers['web-2'].webroot = elsewhere
  })
  await failed(`web-2 (${fleet.server('web-2').service.address}:${httpPort}) does not answer`, 'web-1')
  assert.deepEqual(await readdir(elsewhere), [])

  // All members answer, and the address that clients come to leads somewhere else.
  await using stranger = await startNginx({
    ...{ address: (await chooseEndpoint({})).address, port: httpPort, sites: [] },
    mainLines: [],
    http: { port: httpPort, lines: ['return 404 "a stranger";'] },
  })
  await ask(stranger.address)
  await failed(`the balancer (${stranger.address}:${httpPort}) does not answer`, 'web-1', 'web-2')

  await ask(balancer.address)
  const { exit, stdout, stderr } = await fleet.run('issue')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /generation 1 issued/)
  for (const { webroot } of fleet.servers) assert.deepEqual(await readdir(webroot), [])
})
