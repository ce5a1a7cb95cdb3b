import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify, stripVTControlCharacters } from 'node:util'
import { writeCertificate } from '../real/certificate.ts'
import { audited, type RealFleet, startFleet } from '../real/fleet.ts'

const launcher = new URL('../../bin/onecert', import.meta.url).pathname
const schema = new URL('../vectors/junit/junit.xsd', import.meta.url).pathname

function xmllint(input: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('xmllint', ['--nonet', ...words, '-'], { input, encoding: 'utf8' })
  assert.equal(status, 0, stderr + input)
  return stdout.trim()
}

describe('what an audit finds, told to pipelines, watched, and mended', () => {
  let fleet: RealFleet
  before(async () => {
    fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
    await configure()
    assert.equal((await fleet.run('apply')).exit, 0)
    await fleet.buy()
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  const configure = () =>
    fleet.configure((document) => {
      for (const name of Object.keys(document.servers))
        document.servers[name]['key-folders'] = [join(fleet.directory, name)]
    })
  const current = (server: string, file = '') => join(fleet.server(server).base, 'current', file)
  const backup = () => join(fleet.directory, 'eu-1', 'tls', 'www.key.bak')

  /** eu-1 has the new certificate on disk and serves the old one. */
  async function leaveUnloaded(): Promise<void> {
    const { base, service } = fleet.server('eu-1')
    const newest = await readlink(join(base, 'current'))
    const older = (await readdir(base)).filter((name) => name.startsWith('gen-') && name !== newest).sort()
    const point = async (to: string) => {
      await symlink(to, join(base, 'next'))
      await rename(join(base, 'next'), join(base, 'current'))
    }
    const before = await fleet.server('eu-1').served()
    await point(older.at(-1) ?? '')
    const [program = '', ...words] = service.reload
    await promisify(execFile)(program, words)
    for (let tries = 0; tries < 200 && (await fleet.server('eu-1').served()) === before; tries++) await sleep(25)
    await point(newest)
  }

  /** us-1 serves what it should; what it would read at its next reload is of somebody else. */
  async function damage(): Promise<void> {
    const foreign = await writeCertificate(fleet.directory, ['stranger.lab.example'])
    await copyFile(foreign.chain, current('us-1', 'fullchain.pem'))
  }

  test('a healthy fleet: passed cases, a log without results, and files of both', async () => {
    const junit = await fleet.run('audit', '--format', 'junit')
    assert.equal(junit.exit, 0, junit.stderr)
    xmllint(junit.stdout, '--noout', '--schema', schema)
    const names = ['eu-1', 'us-1'].map((name) => `string(//testsuite[@name='${name}']/@tests)`)
    assert.deepEqual(
      names.map((path) => xmllint(junit.stdout, '--xpath', path)),
      ['2', '2'],
    )
    assert.equal(xmllint(junit.stdout, '--xpath', 'string(/testsuites/@failures)'), '0')
    const [out, sarif] = [join(fleet.directory, 'audit.xml'), join(fleet.directory, 'audit.sarif')]
    const both = await fleet.run('audit', '--format', 'junit', '--out', out)
    assert.match(both.stdout, /^nothing wrong: looked at 2 endpoints \(10 handshakes\), the files of 2 servers\n$/)
    xmllint(await readFile(out, 'utf8'), '--noout', '--schema', schema)
    assert.equal((await fleet.run('audit', '--format', 'sarif', '--out', sarif)).exit, 0)
    const { version, runs } = JSON.parse(await readFile(sarif, 'utf8'))
    assert.deepEqual([version, runs[0].results, runs[0].invocations[0].exitCode], ['2.1.0', [], 0])
    const nowhere = await fleet.run('audit', '--format', 'sarif', '--out', join(fleet.directory, 'no', 'where'))
    assert.match(nowhere.stderr, /^error \w+: /)
  })

  test('contradictions on the command line are told before anything is looked at', async () => {
    for (const [line, hint] of [
      ['--every 5m', /--every belongs to --watch/],
      ['--watch --format junit', /no junit file/],
      ['--watch --every 1s', /from 5s to 1d/],
      ['--watch --fix', /nobody is there to be asked/],
      ['--yes', /--yes belongs to --fix/],
      ['--json --format sarif', /give one of them/],
      ['--format html', /Allowed choices are text, json, junit, sarif/],
      ['--fix', /NEEDS_TTY/],
      ['--watch nobody', /no certificate "nobody"/],
    ] as const) {
      const { exit, stderr, stdout } = await fleet.run('audit', ...line.split(' '))
      assert.deepEqual([exit, stdout], [64, ''], line)
      assert.match(stderr, hint)
    }
  })

  test('--fix mends what apply can, leaves the rest to a person, and deletes nothing that is not its own', async () => {
    await leaveUnloaded()
    await damage()
    await copyFile(current('eu-1', 'privkey.pem'), backup())
    const broken = ['eu-1 key-elsewhere', 'eu-1 not-reloaded', 'us-1 damaged-file']
    assert.deepEqual(await audited(fleet), broken)
    assert.equal((await fleet.run('audit', '--fix')).exit, 64)
    assert.deepEqual(await audited(fleet), broken)

    const { exit, stdout, stderr } = await fleet.run('audit', '--fix', '--yes')
    assert.equal(exit, 1, stderr)
    assert.match(stderr, /^2 of 2 findings mended, 1 for a person$/m)
    assert.match(stdout, /^warning {3}eu-1 {2}key-elsewhere/)
    assert.match(stdout, /next: on eu-1: delete /)
    assert.ok(existsSync(backup()))
    assert.deepEqual(await audited(fleet), ['eu-1 key-elsewhere'])
    const { stdout: ledger } = await fleet.run('ledger', '--json')
    assert.match(ledger, /"effect": "reload"/)
    await rm(backup())
    const { findings, repaired } = await fleet.run.json<{ findings: []; repaired: [] }>('audit', '--fix', '--yes')
    assert.deepEqual([findings, repaired], [[], []])
  })

  test('a plain file where a link of ours was is adopted, and the link is back', async () => {
    const [chain = ''] = fleet.server('us-1').paths
    const foreign = await writeCertificate(fleet.directory, ['stranger.lab.example'])
    const bytes = await readFile(foreign.chain, 'utf8')
    await rm(chain)
    await writeFile(chain, bytes)
    assert.deepEqual(await audited(fleet), ['us-1 path-not-ours'])
    const told = await fleet.run.json<{ repaired: { command: string; failures: unknown[] }[]; findings: unknown[] }>(
      'audit',
      '--fix',
      '--yes',
    )
    assert.deepEqual(told.findings, [])
    assert.deepEqual(
      told.repaired.map(({ command, failures }) => [command, failures]),
      [['onecert apply www --server us-1', []]],
    )
    assert.match(await readlink(chain), /current/)
    const kept = await Promise.all(
      (await readdir(fleet.server('us-1').base))
        .filter((name) => name.startsWith('gen-0000'))
        .map((name) => readFile(join(fleet.server('us-1').base, name, 'fullchain.pem'), 'utf8')),
    )
    assert.ok(kept.includes(bytes), 'what somebody put there is kept')
  })

  test('a link of ours that somebody took away is put back', async () => {
    const [chain = ''] = fleet.server('us-1').paths
    await rm(chain)
    assert.deepEqual(await audited(fleet), ['us-1 path-not-ours'])
    const { exit, stderr } = await fleet.run('audit', '--fix', '--yes')
    assert.equal(exit, 0, stderr)
    assert.match(await readlink(chain), /current/)
  })

  test('apply for a named server looks at its files too, though what it serves is right', async () => {
    await damage()
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.deepEqual(await audited(fleet), ['us-1 damaged-file'])
    assert.equal((await fleet.run('apply', 'www', '--server', 'us-1')).exit, 0)
    assert.deepEqual(await audited(fleet), [])
  })

  test('on a terminal it shows what it will do and asks; only a yes is one', async () => {
    await damage()
    const no = await onTerminal(['audit', '--fix'], 'n')
    assert.equal(no.exit, 75, no.screen)
    assert.match(
      no.screen,
      /this is to be done:\s+onecert apply www --server us-1\s+damaged-file at us-1\s+Do it\? \[y\/N\]/,
    )
    assert.match(no.screen, /nothing was repaired/)
    assert.deepEqual(await audited(fleet), ['us-1 damaged-file'])
    const yes = await onTerminal(['audit', '--fix'], 'y')
    assert.equal(yes.exit, 0, yes.screen)
    assert.match(yes.screen, /… the files of the servers: \d of 2/)
    assert.match(yes.screen, /1 of 1 finding mended/)
    assert.deepEqual(await audited(fleet), [])
  })

  test('--watch tells what appears and goes and that it looks; a failed round does not end it', async (t) => {
    const watch = startWatch('--every', '5s')
    t.after(() => watch.child.kill('SIGKILL'))
    await watch.until((events) => events.some(({ event }) => event === 'round'))
    assert.deepEqual(watch.events()[0]?.event, 'round')
    await copyFile(current('eu-1', 'privkey.pem'), backup())
    const appeared = await watch.until((events) => events.find(({ event }) => event === 'appeared'))
    assert.equal(appeared.finding?.reason, 'key-elsewhere')

    await writeFile(fleet.fleetFile, 'certificates: [')
    const failed = await watch.until((events) => events.find(({ event }) => event === 'failed'))
    assert.equal(failed.error?.code, 'CONFIG_SYNTAX')
    await configure()

    await fleet.server('eu-1').sshd.stop()
    await watch.until((events) => events.find(({ finding }) => finding?.reason === 'unreachable'))
    // It cannot be seen any more; nobody says that it has gone.
    assert.ok(!watch.events().some(({ event }) => event === 'gone'))
    watch.child.kill('SIGINT')
    const { exit, stderr } = await watch.ended
    assert.equal(exit, watch.events().findLast(({ event }) => event === 'round')?.exit)
    assert.equal(exit, 2)
    assert.match(stderr, /stopping: nothing was changed/)
  })

  test('--watch --fix tries a repair once, and tells it; the text is for people', async (t) => {
    await rm(backup())
    await damage()
    await fleet.configure((document) => {
      document.servers['us-1'].service.nginx.test = ['sh', '-c', 'echo "it is broken" >&2; exit 1']
      // Nothing leads to it any more; the record still has its copy of the key.
      delete document.servers['eu-1']
      document.sites['www.lab.example'].dns = ['us-1']
    })
    const begun = fleet.run.start('audit', '--watch', '--every', '5s', '--fix', '--yes')
    t.after(() => begun.child.kill('SIGKILL'))
    let text = ''
    begun.child.stdout?.on('data', (chunk: string) => {
      text += chunk
    })
    await until(() => (text.match(/1 critical, 1 warning for \d+ s: looked/g) ?? []).length >= 3, 60_000)
    begun.child.kill('SIGTERM')
    const { exit, stdout, stderr } = await begun.ended
    assert.equal(exit, 1)
    assert.equal(stdout.match(/this is repaired now:/g)?.length, 1, stdout)
    assert.match(stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}new:$/m)
    assert.match(
      stdout,
      /Z {2}1 critical, 1 warning just now: looked at 1 endpoint \(5 handshakes\), the files of 1 server$/m,
    )
    assert.match(stderr, /SERVICE_|it is broken/)
  })

  interface WatchEvent {
    readonly event: string
    readonly exit?: number
    readonly finding?: { readonly reason: string }
    readonly error?: { readonly code: string }
  }

  function startWatch(...words: string[]) {
    const { child, ended } = fleet.run.start('audit', '--watch', '--json', ...words)
    let text = ''
    child.stdout?.on('data', (chunk: string) => {
      text += chunk
    })
    const events = () =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as WatchEvent)
    return {
      child,
      ended,
      events,
      until: <T>(found: (events: readonly WatchEvent[]) => T | undefined | false) =>
        until(() => found(events()), 40_000),
    }
  }

  async function until<T>(look: () => T | undefined | false, withinMs: number): Promise<T> {
    for (let waitedMs = 0; waitedMs < withinMs; waitedMs += 50) {
      const found = look()
      if (found) return found
      await sleep(50)
    }
    return assert.fail('it does not come')
  }

  /** The command at a pseudo-terminal; the answer is typed when it is asked. */
  async function onTerminal(words: readonly string[], answer: string) {
    const line = [process.execPath, launcher, '--fleet', fleet.fleetFile, '--state', fleet.stateDirectory, ...words]
    const child = spawn('script', ['-qec', line.map((word) => `'${word}'`).join(' '), '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm' },
    })
    let screen = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (!screen.includes('[y/N]') && `${screen}${text}`.includes('[y/N]')) child.stdin.write(`${answer}\n`)
      screen += text
    })
    const exit = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { exit, screen: stripVTControlCharacters(screen).replaceAll('\r', '\n') }
  }
})
