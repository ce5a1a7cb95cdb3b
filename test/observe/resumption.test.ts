import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { OnecertError } from '../../src/base/errors.ts'
import { type Protocol, protocols, resumes, sessionAt } from '../../src/observe/resumption.ts'
import { type CertificateFiles, writeCertificate } from '../real/certificate.ts'
import { startNginx } from '../real/nginx.ts'
import { makeDirectory, type Running } from '../real/running.ts'

const name = 'www.lab.example'
const options = { timeoutMs: 5_000 }
let directory: string
let files: CertificateFiles

before(async () => {
  directory = await makeDirectory('resumption')
  files = await writeCertificate(directory, [name])
})
after(() => rm(directory, { recursive: true, force: true }))

const start = (...serverLines: string[]) => startNginx({ sites: [{ names: [name], ...files }], serverLines })
const at = ({ address, port }: Pick<Running, 'address' | 'port'>) => ({ address, port, name })

/** What the second one makes of a session of the first one. */
async function seen(first: Running, second: Running, protocol: Protocol) {
  return resumes(at(second), protocol, await sessionAt(at(first), protocol, options), options)
}

test('a server resumes its own session, and not one of another with ticket keys of its own', async () => {
  await using one = await start('ssl_protocols TLSv1.2 TLSv1.3;')
  await using other = await start('ssl_protocols TLSv1.2 TLSv1.3;')
  for (const protocol of protocols) {
    assert.equal(await seen(one, one, protocol), 'resumed')
    assert.equal(await seen(one, other, protocol), 'full')
  }
})

test('a version that one of both does not speak is no finding', async () => {
  await using old = await start('ssl_protocols TLSv1.2;')
  await using modern = await start('ssl_protocols TLSv1.3;')
  assert.equal(await seen(old, old, 'TLSv1.2'), 'resumed')
  assert.equal(await seen(modern, modern, 'TLSv1.3'), 'resumed')
  for (const protocol of protocols) {
    assert.equal(await seen(old, modern, protocol), 'not-spoken')
    assert.equal(await seen(modern, old, protocol), 'not-spoken')
  }
})

test('a server that gives no tickets is seen as such', async () => {
  await using none = await start('ssl_protocols TLSv1.2;', 'ssl_session_tickets off;')
  assert.equal(await seen(none, none, 'TLSv1.2'), 'no-session')
})

test('nobody there is an error of its own', async () => {
  const gone = await start()
  const endpoint = at(gone)
  await gone.stop()
  for (const protocol of protocols) {
    await assert.rejects(
      sessionAt(endpoint, protocol, options),
      (error) => error instanceof OnecertError && error.code === 'PROBE_REFUSED',
    )
  }
})
