import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { processesBelow } from '../../src/lab/processes.ts'
import { accepts } from '../../src/lab/program.ts'
import { type RunningSshd, startSshd } from './sshd.ts'

const run = promisify(execFile)

/** Logs in with the given known_hosts line, and nothing of the account's own configuration. */
async function login(sshd: RunningSshd, knownHosts: string, ...command: string[]): Promise<string> {
  const file = join(sshd.directory, 'known_hosts')
  await writeFile(file, `${knownHosts}\n`)
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=yes', `UserKnownHostsFile=${file}`, 'IdentitiesOnly=yes']
  const argv = [...options.flatMap((option) => ['-o', option]), '-i', sshd.clientKey, '-p', String(sshd.port)]
  const { stdout } = await run('ssh', ['-F', 'none', ...argv, `${sshd.user}@${sshd.address}`, ...command], {
    timeout: 20_000,
  })
  return stdout
}

const knownLine = ({ address, port, hostKeys }: RunningSshd) => `[${address}]:${port} ${hostKeys[0]?.publicKey}`

test('a login with the client key runs a command, and the fingerprint is the one that ssh-keyscan sees', async () => {
  await using sshd = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] })
  assert.equal(await login(sshd, knownLine(sshd), 'echo', 'here'), 'here\n')
  const scan = await run('ssh-keyscan', ['-p', String(sshd.port), sshd.address])
  assert.deepEqual(
    sshd.hostKeys.map(({ publicKey }) => scan.stdout.includes(publicKey)),
    [true, true, true],
  )
  for (const { fingerprint } of sshd.hostKeys) assert.match(fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/)
  assert.match(await sshd.output(), /Accepted publickey/)
})

test('another host key, and a key that is not in authorized_keys, are refused', async () => {
  await using sshd = await startSshd()
  await using other = await startSshd()
  await assert.rejects(
    login(sshd, `[${sshd.address}]:${sshd.port} ${other.hostKeys[0]?.publicKey}`, 'true'),
    /verification failed/i,
  )
  await assert.rejects(login({ ...sshd, clientKey: other.clientKey }, knownLine(sshd), 'true'), /Permission denied/)
})

test('a forced command runs in place of the one asked for', async () => {
  await using sshd = await startSshd({ keyOptions: 'restrict,command="echo forced"' })
  assert.equal(await login(sshd, knownLine(sshd), 'echo', 'asked'), 'forced\n')
})

test('a host key signed by an authority is enough to be known', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-real-'))
  const authority = join(directory, 'ca')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authority])
  const { stdout: publicKey } = await run('cat', [`${authority}.pub`])
  await using sshd = await startSshd({ address: '127.0.0.1', hostCertificates: { authority, names: ['127.0.0.1'] } })
  assert.equal(await login(sshd, `@cert-authority * ${publicKey}`, 'echo', 'here'), 'here\n')
  await rm(directory, { recursive: true })
})

test('stop leaves no process, no open port and no file, even while somebody is logged in', async () => {
  const sshd = await startSshd({ lines: ['AllowTcpForwarding no'] })
  const session = login(sshd, knownLine(sshd), 'sleep 60 & wait')
  const ended = assert.rejects(session)
  while ((await processesBelow([sshd.pid], sshd.pid)).length < 4)
    await new Promise((resolve) => setTimeout(resolve, 10))
  const before = await processesBelow([sshd.pid], sshd.pid)
  await sshd.stop()
  await ended
  assert.equal(await accepts(sshd.address, sshd.port), false)
  assert.equal(existsSync(sshd.directory), false)
  assert.deepEqual(
    await processesBelow(
      before.map(({ pid }) => pid),
      sshd.pid,
    ),
    [],
  )
})

test('a start that fails tells why', async () => {
  await assert.rejects(startSshd({ lines: ['NoSuchWord yes'] }), /NoSuchWord/)
})
