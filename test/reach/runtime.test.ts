import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesBelow } from '../../src/lab/processes.ts'
import { receiverText } from '../../src/reach/receiver.ts'
import { type Authority, createAuthority } from '../authority.ts'
import { writeCertificate } from '../real/certificate.ts'
import { type HaproxyOptions, type RunningHaproxy, startHaproxy } from '../real/haproxy.ts'
import { makeDirectory } from '../real/running.ts'
import { visit } from '../real/visit.ts'
import { busyboxTools, shells, Talk } from './talk.ts'

const name = 'www.lab.example'
const other = 'shop.lab.example'
let authority: Authority

before(async () => {
  authority = await createAuthority()
})

interface Pair {
  readonly chain: string
  readonly key: string
  readonly fingerprint: string
}

async function sell(): Promise<Pair> {
  const { leafPem, keyPem, fingerprint } = await authority.sell({ names: [name] })
  return { chain: leafPem + authority.intermediatePem, key: keyPem, fingerprint }
}

interface PlaceOptions {
  readonly certificates?: (directory: string) => string
  readonly argv?: readonly string[]
  readonly path?: string
  /** HAProxy reads another file. */
  readonly unknown?: boolean
}

/** A real HAProxy, and receivers beside it. */
async function makePlace({ certificates, argv = ['dash'], path = process.env.PATH ?? '', unknown }: PlaceOptions = {}) {
  const root = await makeDirectory('runtime')
  const files = await writeCertificate(root, [name])
  const combined = join(root, 'tls', 'www.pem')
  const second = join(root, 'second')
  await Promise.all([mkdir(join(root, 'tls')), mkdir(second)])
  await rename(files.combined, combined)
  const shop = await writeCertificate(second, [other])
  const options: HaproxyOptions = {
    sites: [
      { names: [name], combined },
      { names: [other], combined: shop.combined },
    ],
    ...(certificates && { certificates: certificates(root) }),
  }
  if (certificates) await writeFile(join(root, 'list'), `${combined}\n`)
  const haproxy = await startHaproxy(options)
  const reloads = join(root, 'reloads')
  const { text: receiver } = receiverText({
    directory: join(root, 'on server'),
    test: [],
    reload: ['sh', '-c', `echo reload >>'${reloads}'; exec ${haproxy.reload[0]}`],
    start: [],
    keyFolders: [],
    kind: 'haproxy',
    dumps: {},
    includes: {},
    includeNamed: false,
    socket: haproxy.socket,
    lineages: [
      { lineage: 'www', layout: 'combined', keyMode: '0600', combinedPath: unknown ? join(root, 'new.pem') : combined },
    ],
  })
  const script = join(root, 'receiver')
  await writeFile(script, receiver)
  const talks: Talk[] = []
  let sessions = 0
  let generation = 0
  return {
    root,
    haproxy,
    original: files.fingerprint,
    shop: shop.combined,
    reloaded: () => existsSync(reloads),
    served: async () => (await visit(haproxy, name)).fingerprint,
    /** Adopted, staged, swapped; not reloaded yet. */
    async swap(pair: Pair, seconds = 60): Promise<Talk> {
      const talk = new Talk([...argv, script], { PATH: path, HOME: root })
      talks.push(talk)
      assert.match(await talk.answer(), /^onecert-receiver/)
      sessions += 1
      const hash = (data: string) => createHash('sha256').update(data).digest('hex')
      const spki = hash(
        new X509Certificate(pair.chain).publicKey.export({ type: 'spki', format: 'der' }).toString('hex'),
      )
      const begin = `begin www r${sessions} ${sessions} ${spki} ${seconds} ${hash(pair.chain + pair.key)} ${hash(pair.key)}`
      if (/adoptable=yes/.test(await talk.ask(begin))) await talk.ask('adopt gen-0000')
      await talk.ask('stage', pair.chain)
      await talk.ask('key', pair.key)
      generation += 1
      const gen = `gen-${String(generation).padStart(4, '0')}`
      assert.match(await talk.ask(`seal ${gen} ${hash(pair.chain)} ${hash(pair.key)} ${spki}`), /^ok/)
      assert.match(await talk.ask(`swap ${gen} ${seconds}`), /^ok/)
      return talk
    },
    async [Symbol.asyncDispose]() {
      for (const talk of talks) await talk.end()
      await haproxy.stop()
      await rm(root, { recursive: true })
    },
  }
}

async function ask({ socket }: RunningHaproxy, command: string): Promise<string> {
  const connection = connect(socket)
  connection.end(`${command}\n`)
  return text(connection)
}

async function until(done: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries++, await sleep(50)) if (await done()) return
  assert.fail('not within 15 s')
}

const runtime = 'ok status=0 way=runtime'
const reload = 'ok status=0 way=reload'

describe('the Runtime API of HAProxy', () => {
  test('20 swaps without a reload, and without one failed handshake or one lost connection', async () => {
    await using place = await makePlace()
    const load = startLoad(place.haproxy)
    let last = place.original
    for (let swap = 0; swap < 20; swap++) {
      const pair = await sell()
      const talk = await place.swap(pair)
      assert.equal(await talk.ask('reload'), runtime)
      assert.equal(await place.served(), pair.fingerprint)
      assert.match(await talk.ask(`commit gen-${String(swap + 1).padStart(4, '0')} 1`), /^ok/)
      await talk.end()
      last = pair.fingerprint
    }
    const { handshakes, requests, sockets, failures } = await load.stop()
    assert.deepEqual(failures, [])
    assert.ok(handshakes >= 40 && requests >= 40, `${handshakes} handshakes, ${requests} requests`)
    assert.equal(sockets, 1)
    assert.equal(place.reloaded(), false)
    // What lies on the disk is the same: a reload that somebody does changes nothing.
    execFileSync(place.haproxy.reload[0] ?? '')
    await sleep(1_000)
    assert.equal(await place.served(), last)
  })

  test('the key is in no argv and in no environment of what is run for it', async () => {
    const tools = await makeDirectory('tools')
    const log = join(tools, 'log')
    for (const tool of ['socat', 'timeout', 'grep']) {
      const wrapper = `#!/bin/sh\n{ echo ${tool} "$@"; env; } >>${log}\nexec /usr/bin/${tool} "$@"\n`
      await writeFile(join(tools, tool), wrapper, { mode: 0o755 })
    }
    await using place = await makePlace({ path: `${tools}:/usr/bin:/bin` })
    const pair = await sell()
    const talk = await place.swap(pair)
    assert.equal(await talk.ask('reload'), runtime)
    const seen = await readFile(log, 'utf8')
    for (const tool of ['socat', 'timeout', 'grep']) assert.match(seen, new RegExp(`^${tool} `, 'm'))
    const [line = ''] = pair.key.split('\n').slice(1)
    for (const part of [line.slice(40), 'PRIVATE KEY']) assert.ok(!seen.includes(part), part)
    await rm(tools, { recursive: true })
  })

  test('a pair that does not belong together is refused by the memory; the old one is served, and nothing stays open', async () => {
    await using place = await makePlace()
    const [good, foreign] = [await sell(), await sell()]
    const talk = await place.swap({ ...good, key: foreign.key })
    assert.equal(await talk.ask('reload'), 'ok status=1 way=runtime')
    assert.equal(await place.served(), place.original)
    assert.doesNotMatch(await ask(place.haproxy, 'show ssl cert'), /transaction/)
    assert.match(await talk.ask('rollback'), /^ok current=gen-0000/)
    assert.equal(await talk.ask('reload'), runtime)
    assert.equal(await place.served(), place.original)
    assert.equal(place.reloaded(), false)
  })

  test('a swap that nobody confirms leaves the memory too: when the time is up, and when the connection ends', async () => {
    await using place = await makePlace()
    for (const seconds of [2, 60]) {
      const pair = await sell()
      const talk = await place.swap(pair, seconds)
      assert.equal(await talk.ask('reload'), runtime)
      assert.equal(await place.served(), pair.fingerprint)
      if (seconds === 60) await talk.end()
      await until(async () => (await place.served()) === place.original)
      await talk.end()
    }
    assert.equal(place.reloaded(), false)
  })

  test('a chain of some size goes through; one that is more than it can take at once needs the reload', async () => {
    await using place = await makePlace()
    for (const [times, way] of [
      [12, runtime],
      [40, reload],
    ] as const) {
      const pair = await sell()
      const chain = pair.chain + authority.intermediatePem.repeat(times)
      const talk = await place.swap({ ...pair, chain })
      assert.equal(await talk.ask('reload'), way)
      await until(async () => (await place.served()) === pair.fingerprint)
      assert.doesNotMatch(await ask(place.haproxy, 'show ssl cert'), /transaction/)
      await talk.ask(`commit gen-000${way === runtime ? 1 : 2} 1`)
      await talk.end()
    }
  })

  test('where HAProxy does not know the file, or is down, it is the reload', async () => {
    await using stranger = await makePlace({ unknown: true })
    assert.equal(await (await stranger.swap(await sell())).ask('reload'), reload)
    await using place = await makePlace()
    for (const { pid } of await processesBelow([place.haproxy.pid], undefined)) process.kill(pid, 'SIGKILL')
    const talk = await place.swap(await sell())
    assert.equal(await talk.ask('reload'), 'ok status=1 way=reload')
  })

  const namings: Record<string, (root: string) => string> = {
    'a crt-list': (root) => `crt-list ${root}/list`,
    'a folder, with a slash too many': (root) => `crt ${root}/tls/ crt ${root}/second/combined.pem`,
    'another way to the same file': (root) => `crt ${root}/tls/../tls/www.pem`,
  }
  for (const [naming, certificates] of Object.entries(namings)) {
    test(`the certificate is found by ${naming}`, async () => {
      await using place = await makePlace({ certificates })
      const pair = await sell()
      const talk = await place.swap(pair)
      assert.equal(await talk.ask('reload'), runtime)
      assert.equal(await place.served(), pair.fingerprint)
    })
  }

  for (const [shell, argv] of Object.entries(shells)) {
    test(`the receiver under ${shell}`, async () => {
      const tools = await makeDirectory('tools')
      const path = shell.startsWith('busybox') ? `${await busyboxTools(tools)}:${process.env.PATH}` : undefined
      await using place = await makePlace({ argv, ...(path !== undefined && { path }) })
      const pair = await sell()
      const talk = await place.swap(pair)
      assert.equal(await talk.ask('reload'), runtime)
      assert.equal(await place.served(), pair.fingerprint)
      await rm(tools, { recursive: true })
    })

    test(`where the memory does not take the old files back, the reload does, under ${shell}`, async () => {
      const tools = await makeDirectory('tools')
      const path = shell.startsWith('busybox') ? `${await busyboxTools(tools)}:${process.env.PATH}` : undefined
      await using place = await makePlace({ argv, ...(path !== undefined && { path }) })
      const pair = await sell()
      const talk = await place.swap(pair)
      assert.equal(await talk.ask('reload'), runtime)
      // Somebody else's transaction: HAProxy has one at a time.
      const set = `set ssl cert ${place.shop} <<\n${await readFile(place.shop, 'utf8')}\n`
      assert.match(await ask(place.haproxy, set), /Transaction created/)
      await talk.end()
      await until(async () => (await place.served()) === place.original)
      assert.equal(place.reloaded(), true)
      await rm(tools, { recursive: true })
    })
  }

  const programs = ['socat', 'nc', 'perl', 'python3']
  for (let hidden = 0; hidden <= programs.length; hidden++) {
    const speaker = programs[hidden]
    test(`spoken to by ${speaker ?? 'nobody: the reload'}`, async () => {
      const argv = ['unshare', '-m', 'sh', '-c', hide(programs.slice(0, hidden)), 'hidden']
      await using place = await makePlace({ argv, path: '/usr/bin:/bin' })
      const pair = await sell()
      const talk = await place.swap(pair)
      assert.equal(await talk.ask('reload'), speaker ? runtime : reload)
      await until(async () => (await place.served()) === pair.fingerprint)
    })
  }
})

/** For that process and its children alone, as they see the disk. */
function hide(programs: readonly string[]): string {
  const places = ['/usr/bin', '/usr/local/bin', '/usr/sbin', '/usr/local/sbin']
  const files = programs.flatMap((program) => places.map((place) => `${place}/${program}`))
  return `for f in ${files.join(' ')}; do [ ! -e $f ] || mount --bind /dev/null "$(realpath $f)" || exit 1; done; exec dash "$1"`
}

/** New connections one after another, and requests over one that is kept. */
function startLoad({ address, port }: RunningHaproxy) {
  const failures: string[] = []
  const sockets = new Set<unknown>()
  let [handshakes, requests, running] = [0, 0, true]
  const keep = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, servername: name })
  const requestKept = () =>
    new Promise<void>((resolve, reject) => {
      request({ host: address, port, agent: keep, headers: { host: name } }, (answer) => {
        answer.resume().on('end', () => resolve())
      })
        .on('socket', (socket) => sockets.add(socket))
        .on('error', reject)
        .end()
    })
  const again = async (work: () => Promise<unknown>, count: () => void) => {
    while (running) {
      await work().then(count, (error: Error) => failures.push(error.message))
      await sleep(2)
    }
  }
  const lanes = [
    again(
      () => visit({ address, port }, name),
      () => {
        handshakes += 1
      },
    ),
    again(
      () => visit({ address, port }, name),
      () => {
        handshakes += 1
      },
    ),
    again(requestKept, () => {
      requests += 1
    }),
  ]
  return {
    async stop() {
      running = false
      await Promise.all(lanes)
      keep.destroy()
      return { handshakes, requests, sockets: sockets.size, failures }
    },
  }
}
