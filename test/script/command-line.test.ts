import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { serviceKinds } from '../../src/fleet/layout.ts'
import { jsonSchema } from '../../src/fleet/schema.ts'
import { fleetTemplate } from '../../src/fleet/template.ts'
import { type Onecert, onecert } from '../onecert.ts'

const commands = [
  ['init'],
  ['check'],
  ['schema'],
  ['import'],
  ['plan'],
  ['apply'],
  ['renew'],
  ['audit'],
  ['status'],
  ['probe'],
  ['issue'],
  ['revoke'],
  ['account'],
  ['ledger'],
  ['ledger', 'verify'],
  ['ledger', 'keys'],
  ['server'],
  ['server', 'scan'],
  ['server', 'enrol'],
  ['server', 'release'],
  ['server', 'add'],
  ['server', 'remove'],
  ['server', 'discover'],
  ['config'],
  ['ca'],
  ['complete'],
]
const stack = /\n\s+at .*:\d+:\d+/

let directory: string
let fleetFile: string
let run: Onecert

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'onecert-cli-'))
  fleetFile = join(directory, 'onecert.yaml')
  run = onecert(fleetFile, join(directory, 'state'))
  await writeFile(fleetFile, fleetTemplate())
})
after(() => rm(directory, { recursive: true }))

test('the help of each command has an example that is that command, and its exit codes', async () => {
  for (const words of commands) {
    const { exit, stdout } = await run(...words, '--help')
    assert.equal(exit, 0)
    assert.match(stdout, new RegExp(`\\$ onecert .*${words.at(-1)}`), `${words.join(' ')}: an example`)
    assert.match(stdout, /Exit codes:\n {2}0 {3}done\n/, `${words.join(' ')}: exit codes`)
    const [, exits = ''] = stdout.split('Exit codes:\n')
    const statuses = [...exits.matchAll(/^ {2}(\d+)/gm)].map(([, status]) => Number(status))
    assert.deepEqual(
      statuses,
      statuses.toSorted((left, right) => left - right),
      `${words.join(' ')}: in order`,
    )
  }
  const { stdout } = await run('--help')
  for (const [first = ''] of commands) assert.match(stdout, new RegExp(`^ {2}${first}`, 'm'), `${first} is listed`)
})

describe('a command line that cannot be read', () => {
  for (const [line, hint] of [
    ['aply', /Did you mean apply\?/],
    ['apply --paralel 3', /Did you mean --parallel\?/],
    ['apply --parallel many', /whole number/],
    ['import', /nothing to import from/],
    ['renew wwv', /did you mean "www"\?/],
    ['status --server', /argument missing/],
    ['ledger verify --head nonsense', /no head of the ledger/],
    ['ledger --server web-7', /did you mean "web-1"\?/],
    ['apply wwv', /did you mean "www"\?/],
    ['server scan web-7', /did you mean "web-1"\?/],
    ['server scan', /missing required argument 'server'\n {2}next: {2}onecert server scan --help\n/],
    ['ledger --last x', /'x' is invalid\n {2}a whole number from 1 to 1000000 is wanted\n/],
    ['--server web-1 status', /it stands behind the command: onecert status --server\n/],
  ] as const) {
    test(line, async () => {
      const plain = await run(...line.split(' '))
      assert.equal(plain.exit, 64, plain.stderr)
      assert.match(plain.stderr, hint)
      assert.match(plain.stderr, /^error (USAGE|SERVER_UNKNOWN): /)
      assert.equal(plain.stdout, '')
      assert.doesNotMatch(plain.stderr, stack)
      const machine = await run('--json', ...line.split(' '))
      assert.equal(machine.exit, 64)
      assert.match((JSON.parse(machine.stderr) as { error: { code: string } }).error.code, /^(USAGE|SERVER_UNKNOWN)$/)
    })
  }
})

test('server add takes every service that the fleet file knows', async () => {
  const add = (name: string, service: string) => {
    const words = ['--local', '--address', '192.0.2.99', '--site', 'www.domain.example', '--service', service]
    return run('server', 'add', name, ...words, '--dry-run')
  }
  const settings: Partial<Record<string, string>> = {
    traefik: '{ traefik: { dynamic: /etc/traefik/dynamic/tls.yaml } }',
    command: '{ command: { reload: [service, mine, reload] } }',
  }
  for (const kind of serviceKinds.filter((each) => each !== 'none')) {
    const { exit, stdout, stderr } = await add(`new-${kind}`, settings[kind] ?? kind)
    assert.equal(exit, 0, stderr)
    assert.ok(stdout.includes(`service: ${settings[kind] ?? kind}`), stdout)
  }
  const bare = await add('new-1', 'traefik')
  assert.equal(bare.exit, 78)
  assert.match(bare.stderr, /needs its dynamic file: write service:/)
  for (const service of ['nginks', 'none', '{ nginx']) {
    const { exit, stderr } = await add('new-1', service)
    assert.equal(exit, 64, stderr)
  }
  assert.match((await add('new-1', 'nginks')).stderr, /nginx, apache, .*postgresql, envoy, traefik, command/)
})

describe('surroundings that are not right', () => {
  test('no fleet file', async () => {
    const { exit, stderr } = await onecert(join(directory, 'none.yaml'), join(directory, 'state'))('apply')
    assert.equal(exit, 78)
    assert.match(stderr, /CONFIG_NOT_FOUND: there is no fleet file .*none\.yaml/)
    assert.match(stderr, /next: {2}onecert init/)
  })

  test('no vault yet', async () => {
    const { exit, stderr } = await onecert(fleetFile, join(directory, 'empty'))('apply')
    assert.equal(exit, 78)
    assert.match(stderr, /VAULT_MISSING/)
    assert.match(stderr, /next: {2}onecert init/)
  })

  test('a fleet file with a slip: the place, the line itself, a suggestion', async () => {
    const file = join(directory, 'slip.yaml')
    await writeFile(file, fleetTemplate().replace('certificates:', 'certificate:'))
    const { exit, stderr } = await onecert(file, join(directory, 'state'))('check')
    assert.equal(exit, 78)
    assert.match(stderr, /CONFIG_UNKNOWN_KEY: .*slip\.yaml:\d+:\d+: /)
    assert.match(stderr, /\| certificate:/)
    assert.match(stderr, /did you mean "certificates"\?/)
    assert.doesNotMatch(stderr, stack)
  })

  test('a state directory in a place that takes none', () => {
    const line = ['bin/onecert', '--fleet', fleetFile, '--state', '/proc/onecert', 'ledger']
    const ended = spawnSync(process.execPath, line, { timeout: 20_000, killSignal: 'SIGKILL', encoding: 'utf8' })
    assert.equal(ended.status, 73, ended.stderr)
    assert.match(ended.stderr, /^error STATE_NOT_WRITABLE/)
  })

  test('a state directory that is a file', async () => {
    const { exit, stderr } = await onecert(fleetFile, fleetFile)('ledger')
    assert.ok(exit === 73 || exit === 74, `${exit}`)
    assert.match(stderr, /^error STATE_/)
    assert.doesNotMatch(stderr, stack)
  })
})

test('init makes what is missing, keeps what is there, and check is content with it', async () => {
  const place = await mkdtemp(join(directory, 'init-'))
  const fresh = onecert(join(place, 'onecert.yaml'), join(place, 'state'))
  assert.match((await fresh('init')).stdout, /made .*onecert\.yaml\nmade .*identity/)
  assert.equal((await stat(join(place, 'state', 'identity'))).mode & 0o777, 0o600)
  const identity = await readFile(join(place, 'state', 'identity'))
  assert.match((await fresh('init')).stdout, /kept .*onecert\.yaml.*\nkept .*identity/)
  assert.deepEqual(await readFile(join(place, 'state', 'identity')), identity)
  assert.match((await fresh('check')).stdout, /is valid: /)
  await chmod(join(place, 'state', 'identity'), 0o644)
  const open = await fresh('apply')
  assert.equal(open.exit, 77)
  assert.match(open.stderr, /VAULT_IDENTITY_OPEN/)
  assert.match(open.stderr, /chmod/)
})

test('schema is the JSON Schema of the fleet file', async () => {
  assert.deepEqual(JSON.parse((await run('schema')).stdout), JSON.parse(JSON.stringify(jsonSchema())))
})

test('--json: one document on stdout, nothing else', async () => {
  await run('init')
  for (const words of [['check'], ['ledger'], ['ledger', 'keys'], ['ledger', 'verify']]) {
    const { exit, stdout, stderr } = await run('--json', ...words)
    assert.equal(exit, 0, stderr)
    assert.doesNotThrow(() => JSON.parse(stdout), words.join(' '))
    assert.equal(stderr, '')
  }
})

test('completion: scripts that the shells can read, and commands and options to choose from', async () => {
  const script = (await run('complete', 'bash')).stdout
  const shell = spawn('bash', ['-n'], { stdio: ['pipe', 'ignore', 'pipe'] })
  shell.stdin.end(script)
  assert.deepEqual(await once(shell, 'exit'), [0, null])
  const offered = async (...words: string[]) =>
    (await run('complete', '--', ...words)).stdout.split('\n').map((line) => line.split('\t')[0])
  for (const word of ['apply', 'status', 'ledger']) assert.ok((await offered('')).includes(word))
  assert.ok((await offered('server', '')).includes('enrol'))
  assert.ok((await offered('apply', '--pa')).includes('--parallel'))
})

test('a reader that goes away early is no failure of ours', async () => {
  const line = `${process.execPath} bin/onecert schema | head -n 1; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', line])
  assert.equal(stdout, '{\n0\n')
  assert.equal(stderr, '')
})

test('an older Node is told what to do', async () => {
  const place = await mkdtemp(join(directory, 'alone-'))
  await promisify(execFile)('cp', ['-r', 'bin', place])
  // A launcher without the project around it, run by a Node that says that it is old.
  const old = join(place, 'old.cjs')
  await writeFile(
    old,
    `Object.defineProperty(process.versions, 'node', { value: '20.1.0' }); require('./bin/onecert')\n`,
  )
  const child = spawn(process.execPath, [old], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  assert.deepEqual(await once(child, 'close'), [78, null])
  assert.match(said, /needs Node 24 or newer/)
  assert.match(said, /next: /)
  assert.ok((await readdir(place)).includes('bin'))
})
