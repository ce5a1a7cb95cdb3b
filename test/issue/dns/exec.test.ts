import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeResolver, type Resolver } from '../../../src/dns/resolver.ts'
import { type ExecSettings, exec } from '../../../src/issue/dns/provider/exec.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type Scratch, scratch } from '../../base/scratch.ts'
import { dnsProviderContract } from '../../contract/dns-provider.ts'
import { type BindKey, type RunningBind, startBind } from '../../real/bind.ts'
import { digTxt } from './lookup.ts'

const examples = resolve(import.meta.dirname, '../../../examples/dns')
const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }
const record = { name: '_acme-challenge.www.domain.example', value: 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ' }
const within = () => AbortSignal.timeout(20_000)

let bind: RunningBind
let place: Scratch
let resolver: Resolver

before(async () => {
  place = await scratch()
  bind = await startBind({ zones: [{ name: 'domain.example' }], keys: [key] })
  resolver = makeResolver({ servers: [bind.server] })
})
after(async () => {
  await bind.stop()
  await place[Symbol.asyncDispose]()
})

async function program(text: string, file = place.file('program')): Promise<string> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `#!/bin/sh\n${text}\n`)
  await chmod(file, 0o755)
  return file
}

async function refusal(text: string, settings: Partial<ExecSettings> = {}) {
  const argv = [await program(text)] as const
  return refusalOf(() => exec({ exec: argv, ...settings }, resolver).add(record, within()))
}

test('the program gets its words, what to do, and nothing of our environment but what it needs', async () => {
  process.env.ONECERT_TEST_TOKEN = 'must not travel'
  const file = await program('{ echo "$@"; env; } >"$HOME/seen"')
  const home = process.env.HOME
  process.env.HOME = place.path
  try {
    await exec({ exec: [file, 'a word', '--flag'] }, resolver).remove(record, within())
  } finally {
    process.env.HOME = home
    delete process.env.ONECERT_TEST_TOKEN
  }
  const [words, ...environment] = (await readFile(place.file('seen'), 'utf8')).trim().split('\n')
  assert.equal(words, 'a word --flag remove')
  const seen = Object.fromEntries(environment.map((line) => line.split(/=(.*)/s).slice(0, 2)))
  // The shell adds PWD, OLDPWD, SHLVL and _.
  const names = Object.keys(seen).filter((each) => !['PWD', 'OLDPWD', 'SHLVL', '_', 'LANG'].includes(each))
  assert.deepEqual(names.sort(), ['HOME', 'ONECERT_DNS_NAME', 'ONECERT_DNS_VALUE', 'ONECERT_DNS_ZONE', 'PATH'])
  assert.equal(seen.ONECERT_DNS_NAME, record.name)
  assert.equal(seen.ONECERT_DNS_VALUE, record.value)
  assert.equal(seen.ONECERT_DNS_ZONE, 'domain.example')
})

test('exit status 75 is not now; any other is a failure, with the last lines that it said', async () => {
  const busy = await refusal('echo one; echo two; echo three; printf "fo\\033ur" >&2; exit 75')
  assert.equal(busy.code, 'DNS_PROVIDER_BUSY')
  assert.equal(busy.failure.fact, 'exit status 75; it said: two / three / fo\\x1bur')
  assert.equal(busy.retryable, true)
  const failed = await refusal('exit 3')
  assert.equal(failed.code, 'DNS_PROVIDER_FAILED')
  assert.equal(failed.failure.fact, 'exit status 3')
  assert.equal((await refusal('kill -9 $$')).failure.fact, 'ended by SIGKILL')
})

test('a program that is not there, or may not be run, is told so', async () => {
  const missing = await refusalOf(() => exec({ exec: [place.file('gone')] }, resolver).add(record, within()))
  assert.equal(missing.code, 'DNS_PROVIDER_FAILED')
  assert.equal(missing.failure.fact, 'it cannot be started: ENOENT')
  await writeFile(place.file('plain'), '')
  const plain = await refusalOf(() => exec({ exec: [place.file('plain')] }, resolver).add(record, within()))
  assert.equal(plain.failure.fact, 'it cannot be started: EACCES')
})

test('a program that does not end is ended, with all that it started', async () => {
  const pids = place.file('pids')
  const error = await refusal(`sleep 60 & echo $! $$ >"${pids}"; echo waiting; wait`, { timeoutMs: 300 })
  assert.equal(error.code, 'DNS_PROVIDER_FAILED')
  assert.match(error.failure.fact ?? '', /^ended after 300 ms, the limit/)
  for (const pid of (await readFile(pids, 'utf8')).trim().split(' ')) await untilGone(Number(pid))
})

test('a program that leaves something behind is done when it ends', async () => {
  const pids = place.file('pids')
  const file = await program(`sleep 60 & echo $! >"${pids}"`)
  await exec({ exec: [file] }, resolver).add(record, within())
  process.kill(Number(await readFile(pids, 'utf8')))
})

test('an interruption ends the program', async () => {
  const pids = place.file('pids')
  const file = await program(`echo $$ >"${pids}"; sleep 60`)
  const reason = new Error('enough')
  const stop = new AbortController()
  setTimeout(() => stop.abort(reason), 200)
  await assert.rejects(exec({ exec: [file] }, resolver).add(record, stop.signal), (error) => error === reason)
  await untilGone(Number(await readFile(pids, 'utf8')))
})

/** A killed process is a zombie until whoever inherited it has looked. */
async function untilGone(pid: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++, await sleep(20)) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').then(
      (text) => text.split(') ').at(-1)?.[0],
      () => null,
    )
    if (state === null || state === 'Z') return
  }
  assert.fail(`${pid} still runs`)
}

test('more output than anybody reads does no harm', async () => {
  const error = await refusal('head -c 3000000 /dev/zero | tr "\\0" x; echo; echo end; exit 1')
  assert.match(error.failure.fact ?? '', /^exit status 1; it said: x{200}… \/ end$/)
})

test('the examples say how they are called', async () => {
  for (const example of ['lexicon', 'acme-sh']) {
    const error = await refusalOf(() => exec({ exec: [`${examples}/${example}`] }, resolver).add(record, within()))
    assert.match(error.failure.fact ?? '', /^exit status 64; it said: usage: .* add\|remove$/)
  }
})

dnsProviderContract('examples/dns/acme-sh over nsupdate', async () => {
  const own = await scratch()
  const keyFile = await bind.keyFile(key)
  // What acme.sh has for its scripts, as far as this one needs it, and its end: without words it shows its help.
  await program(
    '_initpath() { ready=yes; }\n_err() { echo "$@" >&2; }\nmain() { [ -z "$1" ] && echo help && return; exit 99; }\nmain "$@"',
    own.file('.acme.sh/acme.sh'),
  )
  const update = (line: string) =>
    `[ "$ready" = yes ] || return 1\nprintf 'server ${bind.address} ${bind.port}\\n${line}\\nsend\\n' "$1" "$2" | nsupdate -k ${keyFile}`
  await program(
    `dns_test_add() {\n${update('update add %s 60 TXT "%s"')}\n}\ndns_test_rm() {\n${update('update delete %s TXT "%s"')}\n}`,
    own.file('.acme.sh/dnsapi/dns_test.sh'),
  )
  const home = process.env.HOME
  process.env.HOME = own.path
  return {
    provider: exec({ exec: [`${examples}/acme-sh`, 'dns_test'] }, resolver),
    values: (at) => digTxt(bind, at),
    async [Symbol.asyncDispose]() {
      process.env.HOME = home
      await own[Symbol.asyncDispose]()
      for (const name of [record.name, '_acme-challenge.domain.example']) await clear(name)
    },
  }
})

/** The tests share a server. */
async function clear(name: string): Promise<void> {
  const script = `server ${bind.address} ${bind.port}\nupdate delete ${name} TXT\nsend\n`
  const file = await program(`printf '${script}' | nsupdate -k ${await bind.keyFile(key)}`)
  await exec({ exec: [file] }, resolver).remove({ ...record, name }, within())
}
