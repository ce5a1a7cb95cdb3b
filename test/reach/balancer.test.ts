import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { receiverText } from '../../src/reach/receiver.ts'
import { type RunningHaproxyBalancer, startHaproxyBalancer } from '../real/balancer.ts'
import { chooseEndpoint } from '../real/running.ts'
import { shells, Talk } from './talk.ts'

/** Programs that can speak to a unix socket, in the order in which they are taken. */
const speakers = ['/usr/bin/socat', '/usr/bin/nc', '/usr/bin/perl', '/usr/bin/python3']

let directory: string
let balancer: RunningHaproxyBalancer
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'onecert-balancer-'))
  const { address } = await chooseEndpoint({})
  // Nobody is asked whether they listen: without checks a member is UP.
  const members = ['s1', 's2', 's3'].map((name, at) => ({ name, address, port: 20_001 + at }))
  balancer = await startHaproxyBalancer(members, { checks: false })
})
after(async () => {
  await balancer.stop()
  await rm(directory, { recursive: true })
})
beforeEach(async () => {
  for (const member of ['s1', 's2', 's3']) await balancer.tell(`set server be_www/${member} state ready`)
})

const talks: Talk[] = []
afterEach(() => {
  for (const { child } of talks) child.kill('SIGKILL')
})

async function talk(argv: readonly string[], socket = balancer.socket): Promise<Talk> {
  // A shell reads it while it runs: each has its own.
  const file = join(directory, `receiver-${talks.length}`)
  const members = ['s1', 's2', 'gone'].map((member) => `be_www/${member}`)
  const { text } = receiverText({
    directory: '',
    test: [],
    reload: [],
    start: [],
    lineages: [],
    keyFolders: [],
    kind: 'none',
    dumps: {},
    includes: {},
    includeNamed: false,
    balancer: { socket, members },
  })
  await writeFile(file, text)
  const receiver = new Talk([...argv, file])
  talks.push(receiver)
  assert.match(await receiver.answer(), /^onecert-receiver 1 /)
  return receiver
}

const stateOf = async (member: string) => (await balancer.states())[member]

async function until(condition: () => Promise<boolean>, withinMs: number): Promise<void> {
  for (const endMs = Date.now() + withinMs; !(await condition()); await sleep(20))
    assert.ok(Date.now() < endMs, `it did not come to that in ${withinMs} ms`)
}

for (const [name, shell] of Object.entries(shells)) {
  describe(`the receiver at a balancer, under ${name}`, () => {
    test('drains a member, tells its sessions, and makes it ready again', async () => {
      const receiver = await talk(shell)
      assert.equal(await receiver.ask('sessions be_www s1'), 'ok state=up sessions=0 others=2')
      assert.equal(await receiver.ask('drain be_www s1 60'), 'ok taken=yes state=drain sessions=0 others=2')
      assert.equal(await stateOf('s1'), 'DRAIN')
      assert.equal(await receiver.ask('ready be_www s1'), 'ok state=up sessions=0 others=2')
      assert.equal(await stateOf('s1'), 'no check')
      await receiver.end()
    })

    test('the last member that takes connections is never drained', async () => {
      await balancer.tell('set server be_www/s3 state maint')
      const receiver = await talk(shell)
      assert.match(await receiver.ask('drain be_www s1 60'), /^ok taken=yes/)
      assert.equal(await receiver.ask('drain be_www s2 60'), 'ok taken=no state=up sessions=0 others=0')
      assert.equal(await stateOf('s2'), 'no check')
      await receiver.end()
    })

    test('what an operator drained or put into maintenance is left alone, also where that came later', async () => {
      const receiver = await talk(shell)
      for (const [state, told] of [
        ['drain', 'DRAIN'],
        ['maint', 'MAINT'],
      ]) {
        await balancer.tell(`set server be_www/s1 state ${state}`)
        assert.match(await receiver.ask('drain be_www s1 60'), new RegExp(`^ok taken=no state=${state} `))
        assert.match(await receiver.ask('ready be_www s1'), new RegExp(`^ok state=${state} `))
        assert.equal(await stateOf('s1'), told)
      }
      assert.match(await receiver.ask('drain be_www s2 60'), /^ok taken=yes/)
      await balancer.tell('set server be_www/s2 state maint')
      assert.match(await receiver.ask('ready be_www s2'), /^ok state=maint/)
      await receiver.end()
      assert.equal(await stateOf('s2'), 'MAINT')
    })

    test('the end of the connection gives back what it drained', async () => {
      const receiver = await talk(shell)
      for (const member of ['s1', 's2']) assert.match(await receiver.ask(`drain be_www ${member} 60`), /taken=yes/)
      await receiver.end()
      assert.deepEqual(await balancer.states(), { s1: 'no check', s2: 'no check', s3: 'no check' })
    })

    test('where the receiver is killed, and where nobody says anything any more, the time does it', async () => {
      const killed = await talk(shell)
      const silent = await talk(shell)
      assert.match(await killed.ask('drain be_www s1 2'), /taken=yes/)
      assert.match(await silent.ask('drain be_www s2 2'), /taken=yes/)
      killed.child.kill('SIGKILL')
      await sleep(200)
      assert.deepEqual(await balancer.states(), { s1: 'DRAIN', s2: 'DRAIN', s3: 'no check' })
      await until(async () => (await stateOf('s1')) === 'no check' && (await stateOf('s2')) === 'no check', 10_000)
      await silent.end()
    })

    test('what the time gave back, and somebody else has drained since, is not given back again by the first', async () => {
      const early = await talk(shell)
      assert.match(await early.ask('drain be_www s1 1'), /taken=yes/)
      await until(async () => (await stateOf('s1')) === 'no check', 10_000)
      const late = await talk(shell)
      assert.match(await late.ask('drain be_www s1 60'), /taken=yes/)
      assert.match(await early.ask('ready be_www s1'), /^ok state=drain /)
      assert.equal(await stateOf('s1'), 'DRAIN')
      await early.end()
      assert.equal(await stateOf('s1'), 'DRAIN')
      assert.match(await late.ask('ready be_www s1'), /^ok state=up /)
      await late.end()
    })

    test('a balancer that says nothing when a member is to be made ready: the time does it', async () => {
      const receiver = await talk(shell)
      assert.match(await receiver.ask('drain be_www s1 9'), /taken=yes/)
      const away = `${balancer.socket}.away`
      await rename(balancer.socket, away)
      const answer = await receiver.ask('ready be_www s1').finally(() => rename(away, balancer.socket))
      assert.match(answer, /fail BALANCER_SILENT/)
      assert.equal(await stateOf('s1'), 'DRAIN')
      await receiver.end()
      await until(async () => (await stateOf('s1')) === 'no check', 10_000)
    })

    test('refuses what is not in its settings, and says what HAProxy says', async () => {
      const receiver = await talk(shell)
      assert.match(await receiver.ask('drain be_www s3 60'), /^fail RECEIVER_OUTDATED/)
      assert.match(await receiver.ask('drain be_www s1;s3 60'), /^fail RECEIVER_PROTOCOL/)
      assert.deepEqual(await receiver.tell('sessions be_www gone'), {
        output: ['the backend be_www has no server gone'],
        answer: 'fail BALANCER_REFUSED',
      })
      await receiver.end()
      const socket = join(directory, 'nobody.sock')
      const nobody = await talk(shell, socket)
      assert.deepEqual(await nobody.tell('drain be_www s1 60'), {
        output: [`nothing answers at ${socket}`],
        answer: 'fail BALANCER_SILENT',
      })
      await nobody.end()
    })
  })
}

test('a balancer that says nothing either when the time is up is asked again, for longer than a restart takes', async () => {
  const receivers = [await talk(['dash']), await talk(['busybox', 'sh'])]
  for (const [at, member] of ['s1', 's2'].entries())
    assert.match((await receivers[at]?.ask(`drain be_www ${member} 1`)) ?? '', /taken=yes/)
  const away = `${balancer.socket}.away`
  await rename(balancer.socket, away)
  for (const { child } of receivers) child.kill('SIGKILL')
  await sleep(9_000).finally(() => rename(away, balancer.socket))
  assert.deepEqual(await balancer.states(), { s1: 'DRAIN', s2: 'DRAIN', s3: 'no check' })
  await until(async () => (await stateOf('s1')) === 'no check' && (await stateOf('s2')) === 'no check', 20_000)
})

describe('where a program to speak with is missing, the next one does', () => {
  for (const [at, speaker] of speakers.entries()) {
    test(speaker, async () => {
      const hidden = speakers.filter((_, index) => index !== at)
      const hide = hidden.map((each) => `mount --bind /dev/null "$(readlink -f ${each})"`).join('\n')
      // Only what is looked for on the path: what stands there by another name (a shim) is hidden with it.
      const receiver = await talk([
        'unshare',
        '--mount',
        'sh',
        '-ec',
        `${hide}\nPATH=/usr/bin:/bin exec "$@"`,
        'sh',
        'dash',
      ])
      assert.equal(await receiver.ask('drain be_www s1 60'), 'ok taken=yes state=drain sessions=0 others=2')
      await receiver.end()
      assert.equal(await stateOf('s1'), 'no check')
    })
  }

  test('none at all is said', async () => {
    const hide = speakers.map((each) => `mount --bind /dev/null "$(readlink -f ${each})"`).join('\n')
    const receiver = await talk([
      'unshare',
      '--mount',
      'sh',
      '-ec',
      `${hide}\nPATH=/usr/bin:/bin exec "$@"`,
      'sh',
      'dash',
    ])
    assert.equal(await receiver.ask('sessions be_www s1'), 'fail SERVER_TOOL_MISSING tool=socat')
    await receiver.end()
  })
})
