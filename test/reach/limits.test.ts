import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { answerWithinMs, receiverSeconds, worstCases } from '../../src/reach/limits.ts'
import { speak } from '../../src/reach/protocol.ts'
import { type ReceiverSettings, receiverText } from '../../src/reach/receiver.ts'
import { scratch } from '../base/scratch.ts'
import { idleService } from './settings.ts'
import { Talk } from './talk.ts'

/** All limits of a receiver are this short, and what it waits for takes nearly as long. */
const limitS = 2
const waitS = 1.6
const names = Object.keys(receiverSeconds) as (keyof typeof receiverSeconds)[]
const limits = worstCases(
  Object.fromEntries(names.map((name) => [name, limitS])) as Record<(typeof names)[number], number>,
)

const slow = (status: number) => ['sh', '-c', `sleep ${waitS}; exit ${status}`]
const hash = '0'.repeat(64)
const begin = `begin www r1 7 ${hash} 60 ${hash} ${hash}`

async function talkTo(file: string, path: string, settings: Partial<ReceiverSettings>): Promise<Talk> {
  const { text } = receiverText({
    ...idleService,
    directory: '',
    lineages: [{ lineage: 'www', layout: 'combined', keyMode: '0600' }],
    ...settings,
  })
  const short = names.reduce(
    (all, name) => all.replace(new RegExp(`\\b${name}_seconds=\\d+`), `${name}_seconds=${limitS}`),
    text,
  )
  await writeFile(file, short)
  const talk = new Talk(['dash', file], { PATH: path })
  await talk.answer()
  return talk
}

/** The limit is the sum of what the verb waits for: no step is missing in it, and none too many. */
async function takesAsLongAs(verb: string, work: () => Promise<unknown>): Promise<void> {
  const startedMs = performance.now()
  await work()
  const tookS = (performance.now() - startedMs) / 1000
  const sumS = ((limits[verb] ?? 0) * waitS) / limitS
  assert.ok(Math.abs(tookS - sumS) < 0.75 * waitS, `${verb} took ${tookS} s; by its limit that should be ${sumS} s`)
}

describe('the limit of a verb is what it takes where all that it waits for is slow', { concurrency: true }, () => {
  test('begin: a rollback is waited for and finished, by the memory of HAProxy, the reload and the start', async () => {
    await using place = await scratch()
    const [directory, socket, base] = ['onecert', 'socket', 'onecert/www'].map((name) => place.file(name)) as [
      string,
      string,
      string,
    ]
    for (const name of ['gen-0001', 'gen-0002']) {
      await mkdir(`${base}/${name}`, { recursive: true })
      await writeFile(`${base}/${name}/combined.pem`, 'a line\n')
    }
    await symlink('gen-0002', `${base}/current`)
    await writeFile(`${base}/fired.r0.6`, 'gen-0001 gen-0002\n')
    const answers = [
      ['show ', `${base}/current/combined.pem\n`],
      ['set ', 'Transaction created\n'],
      ['commit ', 'refused\n'],
      ['abort ', 'Transaction aborted\n'],
    ] as const
    const haproxy = createServer({ allowHalfOpen: true }, (client) => {
      client.on('error', () => {})
      client.once('data', (data) => {
        const answer = answers.find(([word]) => data.toString().startsWith(word))?.[1] ?? ''
        setTimeout(() => client.end(answer), waitS * 1000)
      })
    })
    await new Promise<void>((resolve) => haproxy.listen(socket, resolve))
    const settings = { directory, socket, reload: slow(1), start: slow(0), kind: 'haproxy' }
    const talk = await talkTo(place.file('receiver'), process.env.PATH ?? '', settings)
    try {
      await takesAsLongAs('begin', async () => assert.match(await talk.ask(begin), /^ok .*current=gen-0001 /))
    } finally {
      await talk.end()
      haproxy.close()
    }
  })

  test('try: no namespace, and a copy that the service refuses with the old files too', async () => {
    await using place = await scratch()
    const [directory, base, configuration] = ['onecert', 'onecert/www', 'main.conf'].map((name) =>
      place.file(name),
    ) as [string, string, string]
    for (const name of ['gen-0001', 'gen-0002']) await mkdir(`${base}/${name}`, { recursive: true })
    await symlink('gen-0001', `${base}/current`)
    await writeFile(configuration, `${base}/current/combined.pem\n`)
    const bin = place.file('bin')
    await mkdir(bin)
    for (const program of ['cp', 'find'])
      await writeFile(`${bin}/${program}`, `#!/bin/sh\nsleep ${waitS}; exec /usr/bin/${program} "$@"\n`, {
        mode: 0o755,
      })
    await writeFile(`${bin}/unshare`, `#!/bin/sh\nsleep ${waitS}; exit 1\n`, { mode: 0o755 })
    const onCopy = { configuration, test: slow(1) }
    const talk = await talkTo(place.file('receiver'), `${bin}:${process.env.PATH}`, {
      directory,
      test: [],
      sealing: { onCopy },
    })
    try {
      assert.match(await talk.ask(begin), /^ok /)
      await takesAsLongAs('try', async () => assert.match(await talk.ask('try gen-0002'), /^ok sealed=none/))
    } finally {
      await talk.end()
    }
  })

  test('include: tested before and behind, printed, and a reload that fails, again with the old file', async () => {
    await using place = await scratch()
    const [directory, folder] = ['onecert', 'include'].map((name) => place.file(name)) as [string, string]
    for (const each of [directory, folder]) await mkdir(each)
    const includes = { 'www.lab.example': `${folder}/www.conf` }
    const settings = { directory, includes, test: slow(0), dumps: { nginx: slow(0) }, reload: slow(1), start: slow(1) }
    const talk = await talkTo(place.file('receiver'), process.env.PATH ?? '', settings)
    try {
      await takesAsLongAs('include', async () =>
        assert.match(await talk.ask('include www.lab.example 60', '# Made by onecert\n'), /^fail RELOAD_FAILED/),
      )
    } finally {
      await talk.end()
    }
  })
})

test('who asks waits for an answer as long as its verb may take', async (context) => {
  assert.ok(answerWithinMs('try') > 6 * receiverSeconds.test * 1000)
  assert.ok(answerWithinMs('begin') > (receiverSeconds.settle + 2 * receiverSeconds.reload) * 1000)
  assert.ok(answerWithinMs('try') > answerWithinMs('seal'))
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  stdout.write('onecert-receiver 1 id\n')
  const lost = () => Promise.reject(new Error('it was taken for lost'))
  const connection = await speak({
    server: 'eu-1',
    receiverId: 'id',
    stdin,
    stdout,
    greetingTimeoutMs: 5_000,
    explain: lost,
    end: async () => {},
  })
  let nowMs = performance.now()
  context.mock.method(performance, 'now', () => nowMs)
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const after = async (ms: number) => {
    await turn()
    nowMs += ms
    context.mock.timers.tick(ms)
    await turn()
  }
  const tried = connection.request('try', ['gen-0001'])
  await after(answerWithinMs('try') - 1_000)
  stdout.write('ok sealed=none\n')
  assert.equal((await tried).ok, true)
  const silent = connection.request('try', ['gen-0001'])
  silent.catch(() => {})
  await after(answerWithinMs('try'))
  await assert.rejects(silent, /taken for lost/)
})
