import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { protocols, resumes, sessionAt } from '../../src/observe/resumption.ts'
import { startApache } from './apache.ts'
import { writeCertificate } from './certificate.ts'
import { makeDirectory } from './running.ts'
import type { RunningService } from './service.ts'

const name = 'www.lab.example'
const options = { timeoutMs: 5_000 }

// What docs/adr/0016-ticket-keys.md says of Apache, and why it is left alone.
test('Apache has one ticket key: with another one, also by a graceful reload, no earlier session resumes', async () => {
  const directory = await makeDirectory('apache-tickets')
  const { chain, key } = await writeCertificate(directory, [name])
  const start = async (file: string) => {
    const path = join(directory, file)
    await writeFile(path, first)
    const siteLines = [`SSLSessionTicketKeyFile ${path}`]
    return { path, service: await startApache({ sites: [{ names: [name], chain, key }], siteLines }) }
  }
  const first = randomBytes(48)
  const [one, two] = [await start('one.key'), await start('two.key')]
  const at = ({ address, port }: RunningService) => ({ address, port, name })
  const rotate = async ({ path, service }: typeof one, ticketKey: Buffer) => {
    await writeFile(path, ticketKey)
    const [program = '', ...words] = service.reload
    await promisify(execFile)(program, words)
  }
  const seen = async (from: RunningService, to: RunningService) => {
    const sessions = protocols.map(async (protocol) =>
      resumes(at(to), protocol, await sessionAt(at(from), protocol, options), options),
    )
    return [...new Set(await Promise.all(sessions))].join()
  }
  const until = async (wanted: string, look: () => Promise<string>) => {
    for (let tries = 0, last = ''; last !== wanted; tries++) {
      last = await look()
      assert.ok(tries < 200, `${last} is seen, and ${wanted} was to be`)
    }
  }
  try {
    assert.equal(await seen(one.service, two.service), 'resumed')
    const kept = await Promise.all(protocols.map((protocol) => sessionAt(at(one.service), protocol, options)))
    const second = randomBytes(48)
    await rotate(one, second)
    await until('full', () => seen(two.service, one.service))
    await rotate(two, second)
    await until('resumed', () => seen(one.service, two.service))
    for (const [index, protocol] of protocols.entries())
      for (const { service } of [one, two])
        assert.equal(await resumes(at(service), protocol, kept[index] ?? { kind: 'none' }, options), 'full', protocol)
  } finally {
    await Promise.all([one.service.stop(), two.service.stop()])
    await rm(directory, { recursive: true })
  }
})
