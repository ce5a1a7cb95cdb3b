import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { processesBelow } from '../../src/lab/processes.ts'
import { accepts } from '../../src/lab/program.ts'
import { startApache } from './apache.ts'
import { writeCertificate } from './certificate.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import type { RunningService } from './service.ts'
import { visit } from './visit.ts'

const run = promisify(execFile)
const shop = ['shop.lab.example', 'www.shop.lab.example'] as const
const app = ['app.lab.example'] as const

type Site = { names: readonly [string, ...string[]]; chain: string; key: string; combined: string; fingerprint: string }

const starters: Record<string, (sites: readonly Site[]) => Promise<RunningService>> = {
  nginx: (sites) => startNginx({ sites }),
  apache: (sites) => startApache({ sites }),
  haproxy: (sites) => startHaproxy({ sites }),
}

async function makeSite(directory: string, names: Site['names']): Promise<Site> {
  const own = join(directory, names[0])
  await mkdir(own, { recursive: true })
  return { names, ...(await writeCertificate(own, names)) }
}

async function call([program, ...words]: readonly string[]): Promise<void> {
  assert.ok(program)
  await run(program, words, { timeout: 20_000 })
}

/** A reload returns before the new configuration is served. */
async function untilServed(service: RunningService, name: string, fingerprint: string): Promise<void> {
  let last = ''
  for (let tries = 0; tries < 500; tries++, await sleep(20)) {
    last = await visit(service, name).then(
      (seen) => seen.fingerprint,
      (error: Error) => error.message,
    )
    if (last === fingerprint) return
  }
  assert.fail(`${name} shows ${last}, not ${fingerprint}\n${await service.output()}`)
}

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-real-'))
  await work(directory).finally(() => rm(directory, { recursive: true }))
}

for (const [kind, start] of Object.entries(starters)) {
  describe(kind, () => {
    test('serves each site with its own certificate, and a new one after the reload', () =>
      inDirectory(async (directory) => {
        const sites = [await makeSite(directory, shop), await makeSite(directory, app)]
        await using service = await start(sites)
        for (const { names, fingerprint } of sites) {
          for (const name of names) {
            assert.deepEqual(await visit(service, name), { fingerprint, body: `this is ${names[0]}\n` })
          }
        }
        await call(service.test)
        const renewed = await makeSite(directory, app)
        await call(service.reload)
        await untilServed(service, app[0], renewed.fingerprint)
      }))

    test('its config test refuses what it cannot read', () =>
      inDirectory(async (directory) => {
        await using service = await start([await makeSite(directory, shop)])
        await appendFile(service.configuration, '\nno such word\n')
        await assert.rejects(call(service.test))
        await visit(service, shop[0])
      }))

    test('stop leaves no process, no open port and no file, also where it was killed and started again', () =>
      inDirectory(async (directory) => {
        const service = await start([await makeSite(directory, shop)])
        for (let left = 1; left > 0; await sleep(10)) {
          const processes = await processesBelow([service.pid], service.pid)
          for (const { pid } of processes) {
            try {
              process.kill(pid, 'SIGKILL')
            } catch (error) {
              // A worker whose master is gone may have ended by itself.
              assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH')
            }
          }
          left = processes.length
        }
        await call(service.start)
        while (!(await accepts(service.address, service.port))) await sleep(10)
        await service.stop()
        assert.equal(await accepts(service.address, service.port), false)
        assert.equal(existsSync(service.directory), false)
        assert.deepEqual(await processesBelow([service.pid], service.pid), [])
      }))

    test('a start that fails tells why', () =>
      inDirectory(async (directory) => {
        const site = await makeSite(directory, shop)
        const gone = { ...site, chain: join(directory, 'gone.pem'), combined: join(directory, 'gone.pem') }
        await assert.rejects(start([gone]), /gone\.pem/)
      }))
  })
}
