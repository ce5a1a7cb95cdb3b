import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify, stripVTControlCharacters } from 'node:util'
import { type Onecert, onecert } from '../onecert.ts'

const launcher = new URL('../../bin/onecert', import.meta.url).pathname
const screenMs = 30_000

let directory: string
let fleetFile: string
let silent: Server
let run: Onecert

/** Two servers on this machine, at a port that takes connections and says nothing. */
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'onecert-terminal-'))
  fleetFile = join(directory, 'onecert.yaml')
  silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const server = (address: string) => `{ local: true, address: ${address}, port: ${port}, service: nginx }`
  await writeFile(
    fleetFile,
    `version: 1
issuers: { internal: { local-ca: { common-name: Internal } } }
certificates: { www: { names: [www.domain.example], issuer: internal } }
servers: { web-1: ${server('127.0.0.1')}, web-2: ${server('127.0.0.2')} }
sites: { www.domain.example: { certificate: www, dns: [web-1, web-2] } }
`,
  )
  run = onecert(fleetFile, join(directory, 'state'))
  assert.equal((await run('init')).exit, 0)
})
after(async () => {
  silent.close()
  await rm(directory, { recursive: true })
})

/** A line for sh at a pseudo-terminal; each answer is typed when its question stands there. */
async function atTerminal(line: string, answers: readonly (readonly [question: string, keys: string])[] = []) {
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm' },
    timeout: screenMs,
  })
  let screen = ''
  let asked = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text
    const [question, keys] = answers[asked] ?? []
    if (question === undefined || keys === undefined || !screen.includes(question)) return
    asked += 1
    child.stdin.write(keys)
  })
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { exit, screen: stripVTControlCharacters(screen).replaceAll('\r', '') }
}

const line = (...words: string[]) =>
  [process.execPath, launcher, '--fleet', fleetFile, '--state', join(directory, 'state'), ...words].join(' ')

describe('at a question', () => {
  for (const [name, keys] of [
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
    ['n', 'n\r'],
  ] as const) {
    test(`${name} is a no, and no defect of ours`, async () => {
      const { exit, screen } = await atTerminal(line('server', 'remove', 'web-2'), [['[y/N]', keys]])
      assert.equal(exit, 75, screen)
      assert.match(screen, /\nerror INTERRUPTED: web-2 was not removed\n {2}state: nothing was changed\n/)
      assert.match(screen, /next: {2}onecert server remove web-2\n/)
    })
  }
})

describe('a new passphrase is typed twice', () => {
  const init = (state: string) =>
    `${process.execPath} ${launcher} --fleet ${fleetFile} --state ${join(directory, state)} init --passphrase`

  test('two different ones make no identity', async () => {
    const { exit, screen } = await atTerminal(init('slip'), [
      ['New passphrase', 'correct\r'],
      ['once more', 'corect\r'],
    ])
    assert.equal(exit, 64, screen)
    assert.match(screen, /USAGE: two different passphrases were typed/)
    assert.doesNotMatch(screen, /corr?ect/)
    assert.ok(!existsSync(join(directory, 'slip', 'identity')))
  })

  test('the same one twice does, and opens it', async () => {
    const { exit, screen } = await atTerminal(init('twice'), [
      ['New passphrase', 'correct\r'],
      ['once more', 'correct\r'],
    ])
    assert.equal(exit, 0, screen)
    const file = join(directory, 'passphrase')
    await writeFile(file, 'correct\n')
    const opened = onecert(fleetFile, join(directory, 'twice'))
    const { exit: planned, stderr } = await opened('--passphrase-file', file, 'plan')
    assert.equal(planned, 0, stderr)
  })
})

test('2>file at a terminal: what goes into the file has no colours and nothing that is drawn over', async () => {
  const log = join(directory, 'log')
  await atTerminal(`${line('apply', '--connect-timeout', '1')} 2>${log}`)
  const text = await readFile(log, 'utf8')
  assert.match(text, /wave 1 of 2: web-1/)
  assert.match(text, /error \w+: /)
  assert.equal(text, stripVTControlCharacters(text))
})

test('a look that is interrupted says that nothing was changed, and the command as it was typed', async () => {
  const { child, ended } = run.start('status', '--server', 'web-1')
  await once(silent, 'connection')
  child.kill('SIGINT')
  const { exit, stdout, stderr } = await ended
  assert.equal(exit, 75)
  assert.equal(stdout, '')
  const state = join(directory, 'state')
  assert.equal(
    stderr,
    'stopping: nothing was changed (once more to leave at once)\n' +
      'error INTERRUPTED: interrupted\n' +
      `  next:  onecert --fleet ${fleetFile} --state ${state} status --server web-1\n`,
  )
})

test('a full disk behind stdout is told, and is no success', async () => {
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `${line('schema')} >/dev/full; echo "exit $?" >&2`])
  assert.equal(stdout, '')
  assert.match(stderr, /^error STATE_DISK_FULL: the output cannot be written/)
  assert.match(stderr, /exit 74\n$/)
})

test('server remove --dry-run is told in JSON too, and says that nothing is changed', async () => {
  const before = await readFile(fleetFile, 'utf8')
  assert.match(
    (await run('server', 'remove', 'web-2', '--dry-run')).stdout,
    /^web-2: nothing is changed; this would be/,
  )
  const { purge, ...plan } = await run.json<Record<string, unknown>>('server', 'remove', 'web-2', '--dry-run')
  assert.deepEqual(plan, {
    dryRun: true,
    server: 'web-2',
    certificates: ['www'],
    withdraw: [],
    byHand: ['www.domain.example'],
    behind: [],
    stopsFor: [],
    wouldWrite: true,
  })
  assert.deepEqual(purge, [])
  assert.equal(await readFile(fleetFile, 'utf8'), before)
})
