import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chown, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { usualLayout } from '../../src/fleet/layout.ts'
import { processesBelow, sameProcess } from '../../src/lab/processes.ts'
import { serviceOf } from '../../src/services/drivers.ts'
import type { Sold } from '../authority.ts'
import { type Kind, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'

/** What was measured of a kind of software; the driver's flags have to say the same. */
export interface Measured {
  /** Its own test refuses a key that belongs to another certificate. */
  readonly testSeesMismatch: boolean
  /** After a reload with such a key it goes on with the pair that it had. */
  readonly reloadKeepsOld: boolean
  /** The code of a rollout with a key that its account may not read; absent: it reads its key as root. */
  readonly unreadable?: { readonly code: string; readonly says?: RegExp }
  /** It is started by a rollout that finds it down. Default: true. */
  readonly starts?: boolean
  /** Its files go into its memory, without a reload. */
  readonly runtime?: boolean
  /** From an event to what is served, in ms. Default: 1000. */
  readonly slowMs?: number
}

/** What every kind of service promises, with the real software; the cases go on from one another. */
export function serviceContract(kind: Kind, measured: Measured): void {
  const { starts = true, slowMs = 1_000, runtime = false, unreadable } = measured
  describe(runtime ? `${kind}, by its memory` : kind, () => {
    let fleet: RealFleet
    let server: RealServer
    let first: Sold
    const apply = async () => {
      const { exit, stderr } = await fleet.run('apply')
      assert.equal(exit, 0, stderr)
    }
    /** How it took the files of the last rollout. */
    const way = async () => {
      const { entries } = await fleet.run.json<{ entries: { effect: string; phase: string; way?: string }[] }>('ledger')
      return entries.findLast(({ effect, phase }) => effect === 'reload' && phase === 'outcome')?.way
    }
    const everywhere = (fingerprint: string) => servedEverywhere(server, fingerprint)

    before(async () => {
      fleet = await startFleet({ 'srv-1': { kind, runtime } })
      server = fleet.server('srv-1')
    })
    after(() => fleet[Symbol.asyncDispose]())

    test(`the first rollout brings the certificate to the disk and to every port${starts ? ', and starts what is down' : ''}`, async () => {
      await everywhere(server.original)
      if (starts) await kill(server)
      first = await fleet.buy()
      await apply()
      await everywhere(first.fingerprint)
      assert.equal(await server.onDisk(), first.fingerprint)
      // Apache's own reload starts it.
      assert.equal(await way(), starts && kind !== 'apache' ? 'start' : 'reload')
    })

    test('a renewal with the same key, and a new key', async () => {
      const renewed = await fleet.buy({ keys: first.keys })
      const { exit, stdout, stderr } = await fleet.run('apply')
      assert.equal(exit, 0, stderr)
      assert.match(stderr + stdout, /no key sent/)
      await everywhere(renewed.fingerprint)
      const rekeyed = await fleet.buy()
      await apply()
      await everywhere(rekeyed.fingerprint)
      assert.equal(await server.onDisk(), rekeyed.fingerprint)
      assert.equal(await way(), runtime ? 'runtime' : 'reload')
    })

    test('the key on disk has the mode and the owner that the driver asks for', async () => {
      const { keyMode = '0600', keyOwner } = serviceOf({ kind })
      const { mode, gid } = await stat(server.paths.at(-1) ?? '')
      assert.equal((mode & 0o7777).toString(8).padStart(4, '0'), keyMode)
      assert.equal(gid !== 0, keyOwner !== undefined)
    })

    test('what cannot be proved is undone, on the disk and at every port', async () => {
      const held = await server.onDisk()
      await fleet.buy()
      await fleet.configure((document) => {
        const [entry] = Object.values(document.servers) as [Record<string, unknown>]
        delete entry.port
        // Nothing listens there.
        entry.listeners = [...server.listeners, { port: 1 }]
        document.rollout['confirm-within'] = '5s'
      })
      const { exit, stderr } = await fleet.run('apply')
      assert.notEqual(exit, 0)
      assert.match(stderr, /VERIFY_UNREACHABLE/)
      assert.equal(await server.onDisk(), held)
      await everywhere(held)
      await fleet.configure(() => {})
    })

    if (unreadable) {
      test('a key that its account may not read is told, and the old certificate stays', async () => {
        const held = await server.onDisk()
        await fleet.buy()
        await fleet.configure((document) => {
          Object.assign(document.servers['srv-1'].files.www, { owner: 'root:root', mode: '0600' })
          document.rollout['confirm-within'] = '5s'
        })
        const { exit, stderr } = await fleet.run('apply')
        assert.notEqual(exit, 0)
        assert.match(stderr, new RegExp(unreadable.code))
        assert.match(stderr, unreadable.says ?? /srv-1/)
        assert.equal(await server.onDisk(), held)
        await everywhere(held)
        await fleet.configure(() => {})
      })
    }

    test('a key of another certificate: what its test and its reload do is what the driver says', async () => {
      const held = await server.onDisk()
      await putForeignKey(fleet, server)
      assert.equal(await runs(server.service.test), !measured.testSeesMismatch || server.service.test.length === 0)
      await runs(server.service.reload)
      await sleep(slowMs)
      const seen = await Promise.all(
        server.listeners.map((listener) => server.served(listener).catch((error: Error) => error.message)),
      )
      const kept = seen.every((each) => each === held)
      assert.equal(kept, measured.reloadKeepsOld, seen.join(' '))
      assert.equal(serviceOf({ kind }).reloadKeepsOldOnError, measured.reloadKeepsOld)
      // One that ends of it may take a moment to be gone. The next rollout mends it.
      if (!kept) await sleep(dyingMs)
      const bought = await fleet.buy()
      await apply()
      await everywhere(bought.fingerprint)
      assert.equal(await server.onDisk(), bought.fingerprint)
    })
  })
}

const dyingMs = 1_500

async function servedEverywhere(server: RealServer, fingerprint: string): Promise<void> {
  for (const listener of server.listeners)
    assert.equal(await server.served(listener), fingerprint, String(listener.port))
}

async function runs([program, ...words]: readonly string[]): Promise<boolean> {
  if (program === undefined) return true
  return new Promise((resolve) => {
    execFile(program, words, { timeout: 20_000 }, (error) => resolve(error === null))
  })
}

/** As a crash would: with all that it has started. */
async function kill({ service }: RealServer): Promise<void> {
  const processes = await processesBelow([service.pid], service.pid)
  for (let round = 0; round < 500; round++, await sleep(10)) {
    const alive = await Promise.all(processes.map(sameProcess))
    if (!alive.includes(true)) return
    for (const [at, { pid }] of processes.entries()) if (alive[at]) killOne(pid)
  }
  throw new Error(`${service.pid} does not end`)
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It went with its parent.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Below the leaf that is there, by a rename as onecert does. */
async function putForeignKey(fleet: RealFleet, { kind, paths }: RealServer): Promise<void> {
  const { keyPem } = await fleet.authority.sell({ names: [siteName] })
  const file = await realpath(paths.at(-1) ?? '')
  const chain = (await readFile(paths[0] ?? '', 'utf8')).replace(
    /-----BEGIN PRIVATE KEY[\s\S]*?END PRIVATE KEY-----\n/,
    '',
  )
  const text = { pair: keyPem, combined: chain + keyPem, 'key-first': keyPem + chain }[usualLayout[kind]]
  const { uid, gid, mode } = await stat(file)
  await writeFile(`${file}.new`, text, { mode })
  await chown(`${file}.new`, uid, gid)
  await rename(`${file}.new`, file)
  // Envoy takes a move in the folder above for its sign.
  await writeFile(join(file, '..', '..', '.sign'), '')
  await rename(join(file, '..', '..', '.sign'), join(file, '..', '..', 'sign'))
}
