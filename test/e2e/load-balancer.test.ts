import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesBelow } from '../../src/lab/processes.ts'
import {
  type BalancedMember,
  controlOf,
  type RunningHaproxyBalancer,
  startHaproxyBalancer,
  startStreamBalancer,
} from '../real/balancer.ts'
import { writeCertificate } from '../real/certificate.ts'
import { audited, type Kind, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { startLoad } from '../real/load.ts'
import { startNginx } from '../real/nginx.ts'
import { makeDirectory } from '../real/running.ts'
import { startSshd } from '../real/sshd.ts'

interface AppliedJson {
  readonly certificates: readonly {
    readonly servers: readonly {
      readonly server: string
      readonly state: string
      readonly drained: readonly { readonly member: string; readonly outcome: string; readonly sessions: number }[]
    }[]
    readonly balancers: readonly { readonly sample: SampleJson }[]
  }[]
}

interface SampleJson {
  readonly connections: number
  readonly seen: readonly {
    readonly fingerprint: string
    readonly connections: number
    readonly wrong: string | null
  }[]
}

interface LedgerJson {
  readonly entries: readonly { effect: string; phase: string; server: string; balancer?: string; result?: string }[]
}

function membersOf(fleet: RealFleet): BalancedMember[] {
  return fleet.servers.map(({ name, service }) => ({ name: `s-${name}`, address: service.address, port: service.port }))
}

type Control = Record<string, unknown>

/** Puts the servers behind the balancer; `control` is what the fleet file says of it. */
function putBehind(
  fleet: RealFleet,
  { address, port }: { readonly address: string; readonly port: number },
  control: Control | undefined,
  change: (servers: Record<string, { service: Record<string, Record<string, unknown>> }>) => void = () => {},
): Promise<void> {
  return fleet.configure((document) => {
    const servers = fleet.servers.map(({ name }) => name)
    document.sites[siteName] = {
      certificate: 'www',
      'load-balancer': { address, port, servers, ...(control && { control }) },
    }
    change(document.servers)
  })
}

async function applied(fleet: RealFleet) {
  const { certificates } = await fleet.run.json<AppliedJson>('apply')
  const [certificate] = certificates
  assert.ok(certificate)
  const outcomes = Object.fromEntries(
    certificate.servers.map(({ server, drained }) => [server, drained.map(({ outcome }) => outcome).join()]),
  )
  return { ...certificate, outcomes }
}

async function until(condition: () => Promise<boolean>, withinMs: number): Promise<void> {
  for (const endMs = Date.now() + withinMs; !(await condition()); await sleep(20))
    assert.ok(Date.now() < endMs, `it did not come to that in ${withinMs} ms`)
}

const exists = (file: string) =>
  readFile(file).then(
    () => true,
    () => false,
  )

/** A reload that notes how HAProxy has its server at that moment, and takes its time. */
async function watchedReload(server: RealServer, balancer: RunningHaproxyBalancer, seconds = 0): Promise<string> {
  const script = join(server.service.directory, 'watched-reload')
  const log = join(server.service.directory, 'states')
  const ask = `echo 'show stat ${balancer.backend} 4 -1' | socat - UNIX-CONNECT:${balancer.socket}`
  await writeFile(
    script,
    `#!/bin/sh\n${ask} | grep ',s-${server.name},' | cut -d, -f18 >>${log}\nsleep ${seconds}\nexec ${server.service.reload.join(' ')}\n`,
    { mode: 0o755 },
  )
  return script
}

const statesSeen = async ({ service }: RealServer) =>
  (await readFile(join(service.directory, 'states'), 'utf8')).trim().split('\n')

const allUp = async (balancer: RunningHaproxyBalancer) =>
  Object.values(await balancer.states()).every((state) => state === 'UP')

test('behind HAProxy: renewals and rekeys of nginx, Apache and HAProxy under load, and nothing fails', async () => {
  await using fleet = await startFleet({
    'web-1': { kind: 'nginx', proxyProtocol: 'v2' },
    'web-2': { kind: 'apache', proxyProtocol: 'v2' },
    'web-3': { kind: 'haproxy', proxyProtocol: 'v2' },
  })
  await using balancer = await startHaproxyBalancer(membersOf(fleet))
  const reloads = await Promise.all(fleet.servers.map((server) => watchedReload(server, balancer)))
  await putBehind(fleet, balancer, controlOf(balancer, membersOf(fleet)), (servers) => {
    for (const [at, { name, kind }] of fleet.servers.entries())
      Object.assign(servers[name]?.service[kind] ?? {}, { reload: [reloads[at]] })
  })
  await until(() => allUp(balancer), 10_000)
  assert.match((await fleet.run('plan')).stdout, /web-2 .* travel .*; drained at be_www\/s-web-2 for its reload/)
  assert.equal((await fleet.run('apply')).exit, 0)
  await using load = await startLoad({ targets: [balancer], name: siteName })
  let sold = await fleet.buy()
  for (let round = 0; round < 4; round++) {
    const { outcomes, balancers } = await applied(fleet)
    assert.deepEqual(outcomes, { 'web-1': 'drained', 'web-2': 'drained', 'web-3': 'drained' })
    assert.deepEqual(balancers[0]?.sample.seen, [{ fingerprint: sold.fingerprint, connections: 21, wrong: null }])
    assert.ok(await allUp(balancer), 'each is ready again')
    if (round < 3) sold = await fleet.buy(round % 2 === 0 ? { keys: sold.keys } : {})
  }
  const { fresh, kept, reasons } = await load.stop()
  assert.deepEqual([fresh.failed, kept.failed], [0, 0], JSON.stringify(reasons))
  assert.ok(fresh.done > 200 && kept.done > 200 && kept.connections > 20, 'there was a load')
  for (const server of fleet.servers) assert.deepEqual(new Set(await statesSeen(server)), new Set(['DRAIN']))

  const { entries } = await fleet.run.json<LedgerJson>('ledger', '--last', '1000')
  for (const effect of ['drain', 'ready'] as const) {
    const ours = entries.filter((entry) => entry.effect === effect)
    assert.equal(ours.filter(({ phase }) => phase === 'intent').length, 15)
    assert.ok(ours.every(({ balancer, server }) => balancer === `${siteName} be_www/s-${server}`))
    assert.ok(ours.every(({ phase, result }) => phase === 'intent' || result === 'done'))
  }
  assert.deepEqual((await applied(fleet)).servers, [], 'where nothing is to be done, nobody is drained')
})

test('behind nginx stream nobody can be drained: new connections go on, kept ones are counted', async () => {
  await using fleet = await startFleet({
    'web-1': { kind: 'nginx', proxyProtocol: 'v1' },
    'web-2': { kind: 'apache', proxyProtocol: 'v1' },
  })
  await using balancer = await startStreamBalancer(membersOf(fleet))
  await putBehind(fleet, balancer, undefined)
  assert.equal((await fleet.run('apply')).exit, 0)
  await using load = await startLoad({ targets: [balancer], name: siteName })
  for (let round = 0; round < 3; round++) {
    const sold = await fleet.buy()
    const { outcomes, balancers } = await applied(fleet)
    assert.deepEqual(outcomes, { 'web-1': '', 'web-2': '' })
    assert.deepEqual(balancers[0]?.sample.seen, [{ fingerprint: sold.fingerprint, connections: 15, wrong: null }])
  }
  const { fresh, kept, reasons } = await load.stop()
  assert.equal(fresh.failed, 0, JSON.stringify(reasons))
  assert.ok(fresh.done > 100 && kept.done > 100)
  process.stdout.write(`kept connections behind nginx stream: ${kept.failed} of ${kept.done} requests failed\n`)
})

describe('two nginx behind HAProxy on this machine', () => {
  let fleet: RealFleet
  let balancer: RunningHaproxyBalancer
  let strange: Awaited<ReturnType<typeof startStranger>>
  before(async () => {
    fleet = await startFleet({
      'web-1': { kind: 'nginx', proxyProtocol: 'v2' },
      'web-2': { kind: 'nginx', proxyProtocol: 'v2' },
    })
    strange = await startStranger()
    const { address, port } = strange.service
    balancer = await startHaproxyBalancer([...membersOf(fleet), { name: 'unknown', address, port }])
    await balancer.tell('set server be_www/unknown state maint')
    await putBehind(fleet, balancer, controlOf(balancer, membersOf(fleet)))
    await until(async () => (await balancer.states())['s-web-2'] === 'UP', 10_000)
    assert.equal((await fleet.run('apply')).exit, 0)
  })
  after(async () => {
    await balancer?.stop()
    await strange?.stop()
    await fleet?.[Symbol.asyncDispose]()
  })

  test('the last member that is UP is reloaded undrained, and the one in maintenance stays so', async () => {
    await balancer.tell('set server be_www/s-web-1 state maint')
    const sold = await fleet.buy()
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    assert.match(stderr, /note: web-1 is in maint at be_www\/s-web-1, and stays so/)
    assert.match(stderr, /note: web-2 is the last member of be_www that is UP: it is reloaded without a drain/)
    for (const server of fleet.servers) assert.equal(await server.served(), sold.fingerprint)
    assert.deepEqual(await balancer.states(), { 's-web-1': 'MAINT', 's-web-2': 'UP', unknown: 'MAINT' })
    await balancer.tell('set server be_www/s-web-1 state ready')
  })

  test('all in one wave take turns: one of them is always UP', async () => {
    await fleet.configure((document) => {
      document.rollout = { canary: 2, wave: 2, 'confirm-within': '10s' }
      const { address, port } = balancer
      document.sites[siteName] = {
        certificate: 'www',
        'load-balancer': { address, port, servers: ['web-1', 'web-2'], control: controlOf(balancer, membersOf(fleet)) },
      }
    })
    await fleet.buy()
    let least = 2
    let ended = false
    const watching = (async () => {
      for (; !ended; await sleep(20)) {
        const up = Object.values(await balancer.states()).filter((state) => state === 'UP').length
        least = Math.min(least, up)
      }
    })()
    const { outcomes } = await applied(fleet)
    ended = true
    await watching
    assert.deepEqual(outcomes, { 'web-1': 'drained', 'web-2': 'drained' })
    assert.equal(least, 1)
  })

  test('sessions that do not end are waited for as long as the fleet file says, and told', async () => {
    await putBehind(fleet, balancer, controlOf(balancer, membersOf(fleet), { drainWithin: '1s' }))
    await using load = await startLoad({ targets: [balancer], name: siteName, keptMs: 600_000, restMs: 200 })
    await fleet.buy()
    const { exit, stderr } = await fleet.run('apply')
    await load.stop()
    assert.equal(exit, 0, stderr)
    assert.match(stderr, /note: web-1 has \d+ sessions? of be_www after 1 s: it is reloaded with them/)
    const { 's-web-1': one, 's-web-2': two } = await balancer.states()
    assert.deepEqual([one, two], ['UP', 'UP'])
  })

  test('a balancer that cannot be told does not stop a renewal, and that is said', async () => {
    const { haproxy, ...control } = controlOf(balancer, membersOf(fleet))
    const gone = { ...control, haproxy: { ...haproxy, socket: `${balancer.socket}.gone` } }
    await putBehind(fleet, balancer, gone)
    const sold = await fleet.buy()
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    assert.match(stderr, /note: web-1 is reloaded without a drain: .*nothing answers at .*admin\.sock\.gone/)
    for (const server of fleet.servers) assert.equal(await server.served(), sold.fingerprint)
    await putBehind(fleet, balancer, { ...control, haproxy: { ...haproxy, backend: 'be_other' } })
    await fleet.buy()
    assert.match((await fleet.run('apply')).stderr, /web-1 is reloaded without a drain: .*No such proxy/)
  })

  test('a member that the fleet file does not name, and that serves something else, is found', async () => {
    await putBehind(fleet, balancer, controlOf(balancer, membersOf(fleet)))
    await balancer.tell('set server be_www/unknown state ready')
    await until(async () => (await balancer.states()).unknown === 'UP', 10_000)
    const sold = await fleet.buy()
    const { exit, stdout, stderr } = await fleet.run('apply')
    assert.equal(exit, 69, stderr)
    assert.match(stderr, /BALANCER_DRIFT/)
    const wrong = strange.fingerprint.slice(0, 8)
    const [right, line] = [sold.fingerprint.slice(0, 8), `sample of 15 connections through ${balancer.address}:`]
    assert.match(
      stdout,
      new RegExp(`${line}\\d+: 10 × ${right}, 5 × ${wrong} \\(serves ${wrong}, expected ${right}\\)`),
    )
    const again = await fleet.run('apply')
    assert.equal(again.exit, 69, 'an apply that has nothing to do looks too')
    const status = await fleet.run('status')
    assert.equal(status.exit, 1)
    assert.match(status.stdout, new RegExp(`\\(balancer\\) .* drift +sample of 15: 10 × ${right}, 5 × ${wrong}`))
    const json = await fleet.run.json<{ balancers: { sample: SampleJson }[] }>('status')
    assert.deepEqual(
      json.balancers[0]?.sample.seen.map(({ fingerprint, connections }) => [fingerprint, connections]),
      [
        [sold.fingerprint, 10],
        [strange.fingerprint, 5],
      ],
    )
    assert.deepEqual(await audited(fleet), ['null other-member'])
    await balancer.tell('set server be_www/unknown state maint')
    assert.equal((await fleet.run('status')).exit, 0)
    assert.deepEqual(await audited(fleet), [])
  })
})

/** A server that the fleet file does not know. */
async function startStranger() {
  const directory = await makeDirectory('stranger')
  const files = await writeCertificate(directory, [siteName])
  const service = await startNginx({ sites: [{ names: [siteName], ...files }], proxyProtocol: true })
  return {
    service,
    fingerprint: files.fingerprint,
    async stop() {
      await service.stop()
      await rm(directory, { recursive: true })
    },
  }
}

describe('whatever happens to onecert, the balancer on another machine gives the members back', () => {
  const kinds: Record<string, { kind: Kind; proxyProtocol: 'v2' }> = {
    'web-1': { kind: 'nginx', proxyProtocol: 'v2' },
    'web-2': { kind: 'nginx', proxyProtocol: 'v2' },
  }
  let fleet: RealFleet
  let balancer: RunningHaproxyBalancer
  let sshd: Awaited<ReturnType<typeof startSshd>>
  let control: Control
  before(async () => {
    fleet = await startFleet(kinds)
    balancer = await startHaproxyBalancer(membersOf(fleet))
    sshd = await startSshd()
    const { local: _local, ...others } = controlOf(balancer, membersOf(fleet), { drainWithin: '3s' })
    control = {
      ...others,
      ssh: { destination: `${sshd.user}@${sshd.address}`, port: sshd.port, identity: sshd.clientKey },
      'host-key': sshd.hostKeys[0]?.fingerprint,
    }
    await putBehind(fleet, balancer, control)
    await until(() => allUp(balancer), 10_000)
    assert.equal((await fleet.run('apply')).exit, 0)
    const slow = await Promise.all(fleet.servers.map((server) => watchedReload(server, balancer, 2)))
    await fleet.configure((document) => {
      const { address, port } = balancer
      const servers = fleet.servers.map(({ name }) => name)
      document.sites[siteName] = { certificate: 'www', 'load-balancer': { address, port, servers, control } }
      for (const [at, { name }] of fleet.servers.entries()) document.servers[name].service.nginx.reload = [slow[at]]
      document.rollout['confirm-within'] = '5s'
    })
  })
  after(async () => {
    await balancer?.stop()
    await sshd?.stop()
    await fleet?.[Symbol.asyncDispose]()
  })

  /** An apply whose first server is being reloaded, drained. */
  async function reloading() {
    const server = fleet.server('web-1')
    await rm(join(server.service.directory, 'states'), { force: true })
    await fleet.buy()
    const started = fleet.run.start('apply')
    await until(() => exists(join(server.service.directory, 'states')), 30_000)
    assert.equal((await balancer.states())['s-web-1'], 'DRAIN')
    return started
  }

  test('kill -9', async () => {
    const { child, ended } = await reloading()
    child.kill('SIGKILL')
    await ended
    await until(() => allUp(balancer), 5_000)
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.ok(await allUp(balancer))
  })

  test('Ctrl-C twice', async () => {
    const { child, ended } = await reloading()
    child.kill('SIGINT')
    await sleep(50)
    child.kill('SIGINT')
    assert.equal((await ended).exit, 75)
    await until(() => allUp(balancer), 5_000)
    assert.equal((await fleet.run('apply')).exit, 0)
  })

  test('Ctrl-C while sessions are waited for: nothing is swapped', async () => {
    const before = await Promise.all(fleet.servers.map((server) => server.served()))
    await using load = await startLoad({ targets: [balancer], name: siteName, keptMs: 600_000, restMs: 200 })
    await fleet.buy()
    const { child, ended } = fleet.run.start('apply')
    await until(async () => (await balancer.states())['s-web-1'] === 'DRAIN', 30_000)
    await sleep(300)
    child.kill('SIGINT')
    const { exit, stderr } = await ended
    await load.stop()
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /INTERRUPTED/)
    assert.ok(await allUp(balancer))
    assert.deepEqual(await Promise.all(fleet.servers.map((server) => server.served())), before)
    assert.equal((await fleet.run('apply')).exit, 0)
  })

  test('the connection to the balancer breaks: the server is proved all the same', async () => {
    const { ended } = await reloading()
    for (const { pid } of await processesBelow([sshd.pid], sshd.pid)) {
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (pid !== sshd.pid && words.startsWith('sshd:')) process.kill(pid, 'SIGKILL')
    }
    const { exit, stderr } = await ended
    assert.match(
      stderr,
      /note: web-1 was not made ready at be_www\/s-web-1: .*the balancer does it by itself within 16 s/,
    )
    assert.equal(exit, 0, stderr)
    assert.match(stderr, /web-2 {2}proven .* drained/, 'a new connection is made for the next one')
    await until(() => allUp(balancer), 5_000)
  })

  test('the network is cut, and no word of it comes to the balancer: the time is up there', async () => {
    const { child, ended } = await reloading()
    const below = await processesBelow([child.pid ?? 0], undefined)
    const ssh: number[] = []
    for (const { pid } of below) {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
      if (words[0] === 'ssh' && words.includes(String(sshd.port))) ssh.push(pid)
    }
    assert.equal(ssh.length, 1)
    for (const pid of ssh) process.kill(pid, 'SIGSTOP')
    child.kill('SIGKILL')
    await ended
    await sleep(1_000)
    assert.equal((await balancer.states())['s-web-1'], 'DRAIN', 'nobody has told it anything')
    await until(() => allUp(balancer), 20_000)
    for (const pid of ssh) process.kill(pid, 'SIGKILL')
    assert.equal((await fleet.run('apply')).exit, 0)
  })
})
