import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { askCa } from '../real/acme-fleet.ts'
import { type AcmeProxy, startAcmeProxy } from '../real/acme-proxy.ts'
import { type FleetDocument, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'

const httpPort = 5002

describe('http-01 on five servers', () => {
  let pebble: Pebble
  let proxy: AcmeProxy
  let fleet: RealFleet
  /** What the CA says of every certificate that it is asked about. */
  let renewNow = false

  before(async () => {
    pebble = await startPebble({ httpPort, nonceRejectPercent: 0 })
    proxy = await startAcmeProxy(pebble, {
      renewalInfo: () =>
        renewNow ? { suggestedWindow: { start: '2020-01-01T00:00:00Z', end: '2020-01-02T00:00:00Z' } } : null,
    })
    const nginx = { kind: 'nginx', httpPort } as const
    fleet = await startFleet({ 'eu-1': nginx, 'eu-2': nginx, 'us-1': nginx, 'us-2': nginx, 'ap-1': nginx })
    await configured()
  })
  after(async () => {
    await fleet?.[Symbol.asyncDispose]()
    await proxy?.stop()
    await pebble?.stop()
  })

  const configured = (change?: (document: FleetDocument) => void) =>
    askCa(fleet, { pebble, directoryUrl: proxy.directoryUrl, httpPort, ...(change && { change }) })
  const answersOn = ({ webroot }: RealServer) => readdir(webroot)
  const nothingLeft = async () => {
    for (const server of fleet.servers)
      assert.deepEqual(await answersOn(server), [], `an answer is left on ${server.name}`)
  }
  const toldToLook = () => proxy.seen.filter(({ path }) => path.startsWith('/chalZ')).length
  const generation = async () => {
    const { certificates } = await fleet.run.json<{ certificates: { generation: number }[] }>('status')
    return certificates[0]?.generation
  }
  const servedNow = () => Promise.all(fleet.servers.map((server) => server.served()))

  test('one command: answered on all, issued, rolled out and proven; nothing is left behind, and all is on record', async () => {
    const { exit, stdout, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /generation 1 issued/)
    assert.equal(toldToLook(), 1, 'the CA has looked, once')
    const [first, ...others] = await servedNow()
    for (const each of others) assert.equal(each, first)
    for (const server of fleet.servers) {
      assert.equal(await server.onDisk(), first)
      assert.notEqual(first, server.original)
    }
    await nothingLeft()
    const { entries } = await ledger(fleet)
    const names = fleet.servers.map(({ name }) => name).toSorted()
    for (const effect of ['answer', 'unanswer']) {
      for (const [phase, result] of [['intent'], ['outcome', 'done']]) {
        const on = entries.filter((each) => each.effect === effect && each.phase === phase && each.result === result)
        assert.deepEqual(on.map(({ server }) => server).toSorted(), names, `${effect}: ${phase}`)
      }
    }
  })

  test('one of them serves another folder: it is named, the CA is not told to look, and nothing is changed', async () => {
    const before = { served: await servedNow(), looked: toldToLook() }
    const wrong = fleet.server('us-2')
    const elsewhere = join(fleet.directory, 'elsewhere')
    await mkdir(elsewhere)
    await configured((document) => {
      document.servers[wrong.name].webroot = elsewhere
    })
    renewNow = true
    const { exit, stderr } = await fleet.run('issue', 'www', '--force')
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /CHALLENGE_NOT_SERVED/)
    assert.ok(stderr.includes(`us-2 (${wrong.service.address}:${httpPort}) does not answer`), stderr)
    assert.match(stderr, /it answered 404 "<html> <head><title>404 Not Found/)
    for (const { name } of fleet.servers) if (name !== wrong.name) assert.ok(!stderr.includes(`${name} (`), stderr)
    assert.equal(toldToLook(), before.looked)
    await nothingLeft()
    assert.deepEqual(await readdir(elsewhere), [])
    assert.equal(await generation(), 1)
    assert.deepEqual(await servedNow(), before.served)

    const later = await fleet.run('issue', 'www')
    assert.equal(later.exit, 75)
    assert.match(later.stderr, /ISSUE_LATER/)
    assert.match(later.stderr, /CHALLENGE_NOT_SERVED us-2/, 'it says what failed')
    renewNow = false
    await configured()
    const mended = await fleet.run('issue', 'www', '--force')
    assert.equal(mended.exit, 0, mended.stderr)
    await nothingLeft()
    const rolledOut = await fleet.run('apply')
    assert.equal(rolledOut.exit, 0, rolledOut.stderr)
    assert.equal(await generation(), 2)
  })

  test('a name is added that one of them does not answer for: what failed is said, and not only that the name is missing', async () => {
    await pebble.addA(
      'shop.lab.example',
      fleet.servers.map(({ service }) => service.address),
    )
    const elsewhere = join(fleet.directory, 'elsewhere')
    await configured((document) => {
      document.certificates.www.names.push('shop.lab.example')
      document.sites['shop.lab.example'] = { ...document.sites[siteName] }
      document.servers['us-2'].webroot = elsewhere
    })
    const { exit, stderr } = await fleet.run('issue', 'www')
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /error CHALLENGE_NOT_SERVED: us-2 .* for shop\.lab\.example/)
    assert.match(stderr, /CERT_NAME_MISSING/)
    const later = await fleet.run('issue', 'www')
    assert.equal(later.exit, 75, later.stderr)
    assert.match(later.stderr, /ISSUE_LATER/)
    await nothingLeft()
    await configured()
    assert.equal(await generation(), 2)
  })

  test('Ctrl-C while one of them is logged in to: no answer is left on any', async () => {
    const marker = join(fleet.directory, 'login')
    const slow = fleet.server('ap-1')
    const key = await readFile(slow.sshd.authorizedKeys, 'utf8')
    await writeFile(
      slow.sshd.authorizedKeys,
      `command="touch ${marker}; sleep 1; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\"" ${key}`,
    )
    const looked = toldToLook()
    const { child, ended } = fleet.run.start('issue', 'www', '--force')
    const others = fleet.servers.filter((server) => server !== slow)
    await until(
      async () => existsSync(marker) && (await Promise.all(others.map(answersOn))).every(({ length }) => length > 0),
    )
    child.kill('SIGINT')
    const { exit, stderr } = await ended
    await writeFile(slow.sshd.authorizedKeys, key)
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /INTERRUPTED/)
    await nothingLeft()
    assert.equal(toldToLook(), looked)
    assert.equal(await generation(), 2)
  })

  test('kill -9 while the answers are there: the next run takes them away, also where it wants another order', async () => {
    const { child, ended } = fleet.run.start('issue', 'www', '--force')
    proxy.inject({
      on: ({ path }) => path.startsWith('/chalZ') && child.kill('SIGKILL'),
      deed: { kind: 'cut-before' },
    })
    assert.equal((await ended).exit, null)
    for (const server of fleet.servers) assert.deepEqual(await answersOn(server), ['.well-known'])
    // With the same key type it would go on with the same order, and its own answers.
    await configured((document) => {
      document.certificates.www.key = { type: 'ec-p384' }
    })
    const { exit, stderr } = await fleet.run('issue', 'www', '--force')
    assert.equal(exit, 0, stderr)
    await nothingLeft()
    assert.equal(await generation(), 3)
  })

  test('one of them cannot be logged in to, and then is down altogether: it is named each time, and holds up nothing in the end', async () => {
    const down = fleet.server('us-1')
    await down.sshd.stop()
    const half = await fleet.run('issue', 'www', '--force')
    assert.equal(half.exit, 75, 'its web server is up, and would give a CA the wrong answer')
    assert.ok(half.stderr.includes(`us-1 (${down.service.address}:${httpPort}) does not answer`), half.stderr)
    assert.match(half.stderr, /it answered 404 .*; and us-1 refuses the connection/)
    await nothingLeft()
    await down.service.stop()
    const up = fleet.servers.filter((server) => server !== down)
    // Pebble asks at one address only, and not a second time.
    await pebble.addA(
      siteName,
      up.map(({ service }) => service.address),
    )
    const { exit, stderr } = await fleet.run('issue', 'www', '--force')
    assert.equal(exit, 0, stderr)
    assert.ok(stderr.includes(`us-1 (${down.service.address}:${httpPort}) does not answer`), stderr)
    assert.match(stderr, /nothing listens there; and us-1 refuses the connection/)
    assert.equal(await generation(), 4)
    await nothingLeft()
  })
})

interface LedgerEntry {
  readonly effect: string
  readonly phase: string
  readonly result?: string
  readonly server?: string
}

const ledger = (fleet: RealFleet) => fleet.run.json<{ entries: LedgerEntry[] }>('ledger', '--last', '10000')

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 1_500, 'it did not come to that in 15 s')
    await sleep(10)
  }
}
