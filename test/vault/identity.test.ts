import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { armor, Encrypter } from 'age-encryption'
import { Secret } from '../../src/base/secret.ts'
import { createIdentity, openIdentity } from '../../src/vault/identity.ts'
import { asNobody, underUmask } from '../base/account.ts'
import { printed, refusalOf } from '../base/refusals.ts'
import { scratch } from '../base/scratch.ts'

const unasked = { passphrase: () => Promise.reject(new Error('a passphrase was asked for')) }
const identityGrammar = /^AGE-SECRET-KEY-1[0-9A-Z]{58}$/
const recipientGrammar = /^age1[0-9a-z]{58}$/

for (const mask of [0o000, 0o022, 0o077]) {
  test(`an identity is made in a file of mode 0600 in a directory of mode 0700, under umask ${mask.toString(8)}`, async () => {
    await using directory = await scratch()
    const path = directory.file('made/identity')
    const { identity, recipient } = await underUmask(mask, () => createIdentity(path))
    assert.equal((await stat(path)).mode & 0o7777, 0o600)
    assert.equal((await stat(directory.file('made'))).mode & 0o7777, 0o700)
    assert.deepEqual(await readdir(directory.file('made')), ['identity'])
    assert.match(identity.reveal(), identityGrammar)
    assert.match(recipient, recipientGrammar)
  })
}

test('an identity is read back as it was made, and printing it shows nothing', async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  const made = await createIdentity(path, { now: new Date('2027-01-01T00:00:00Z') })
  const read = await openIdentity(path, unasked)
  assert.deepEqual([read.identity.reveal(), read.recipient], [made.identity.reveal(), made.recipient])
  assert.doesNotMatch(`${inspect(read)} ${JSON.stringify(read)}`, /AGE-SECRET-KEY/)
  const [created, recipient, secret, ...rest] = (await readFile(path, 'utf8')).split('\n')
  assert.equal(created, '# created: 2027-01-01T00:00:00.000Z')
  assert.equal(recipient, `# public key: ${made.recipient}`)
  assert.equal(secret, made.identity.reveal())
  assert.deepEqual(rest, [''])
})

test('age-keygen finds the same public key in it', async () => {
  await using directory = await scratch()
  const { recipient } = await createIdentity(directory.file('identity'))
  const { stdout, status, stderr } = spawnSync('age-keygen', ['-y', directory.file('identity')], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  assert.equal(stdout.trim(), recipient)
})

test('what age-keygen makes is an identity too', async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  assert.equal(spawnSync('age-keygen', ['-o', path]).status, 0)
  const { recipient } = await openIdentity(path, unasked)
  assert.ok((await readFile(path, 'utf8')).includes(recipient))
})

test('two identities are never the same', async () => {
  await using directory = await scratch()
  const made = await Promise.all(Array.from({ length: 5 }, (_, at) => createIdentity(directory.file(`i${at}`))))
  assert.equal(new Set(made.map(({ identity }) => identity.reveal())).size, 5)
})

test('of several that make the same identity at once one does, and it is the one in the file', async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  const outcomes = await Promise.all(
    Array.from({ length: 5 }, () => createIdentity(path).catch((error: { code?: string }) => error.code)),
  )
  const made = outcomes.filter((each) => typeof each === 'object')
  assert.deepEqual(
    outcomes.filter((each) => typeof each !== 'object'),
    Array(4).fill('CONFIG_EXISTS'),
  )
  assert.equal((await openIdentity(path, unasked)).recipient, made[0]?.recipient)
  assert.deepEqual(await readdir(directory.path), ['identity'])
})

test('what a killed process left of an identity is gone once somebody makes it again', async () => {
  await using directory = await scratch()
  const left = `.identity.${spawnSync('true').pid}-1-0123456789ab`
  await writeFile(directory.file(left), 'AGE-SECRET-KEY-1CANARY', { mode: 0o600 })
  await createIdentity(directory.file('identity'))
  assert.deepEqual(await readdir(directory.path), ['identity'])
})

const inTheWay: readonly (readonly [string, (path: string) => Promise<unknown>])[] = [
  ['an identity', (path) => createIdentity(path)],
  ['an empty file', (path) => writeFile(path, '')],
  ['a directory', (path) => mkdir(path)],
  ['a link to nowhere', (path) => symlink('/nowhere/at/all', path)],
]

for (const [what, make] of inTheWay) {
  test(`where ${what} is already, nothing is made and it stays as it is`, async () => {
    await using directory = await scratch()
    const path = directory.file('identity')
    await make(path)
    const before = await readFile(path).catch((error) => error.code)
    const error = await refusalOf(() => createIdentity(path))
    assert.deepEqual([error.code, error.exit], ['CONFIG_EXISTS', 73])
    assert.match(
      printed(error),
      /identity is there already[\s\S]*state: it was left as it is[\s\S]*next: .*move it away/,
    )
    assert.deepEqual(await readFile(path).catch((error) => error.code), before)
    assert.deepEqual(await readdir(directory.path), ['identity'])
  })
}

test('with a passphrase the file holds no identity in clear, and only the passphrase opens it', async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  const made = await createIdentity(path, { passphrase: new Secret('correct horse') })
  const text = await readFile(path, 'utf8')
  assert.match(text, /^-----BEGIN AGE ENCRYPTED FILE-----\n/)
  assert.ok(!text.includes('AGE-SECRET-KEY') && !text.includes(made.recipient))
  const body = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64').toString('latin1')
  const [, , workFactor] = /-> scrypt (\S+) (\d+)/.exec(body) ?? []
  assert.equal(workFactor, '18')
  assert.equal((await stat(path)).mode & 0o7777, 0o600)
  const read = await openIdentity(path, { passphrase: async () => new Secret('correct horse') })
  assert.equal(read.identity.reveal(), made.identity.reveal())
})

test('a wrong passphrase opens nothing, and neither passphrase is shown', async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  const { identity } = await createIdentity(directory.file('clear'))
  // As the product does it, but for the work that makes guessing slow.
  const encrypter = new Encrypter()
  encrypter.setScryptWorkFactor(4)
  encrypter.setPassphrase('correct horse')
  await writeFile(path, armor.encode(await encrypter.encrypt(`${identity.reveal()}\n`)), { mode: 0o600 })
  const right = await openIdentity(path, { passphrase: async () => new Secret('correct horse') })
  assert.equal(right.identity.reveal(), identity.reveal())
  for (const wrong of ['wrong canary', 'correct horse ', 'Correct horse', '']) {
    const error = await refusalOf(() => openIdentity(path, { passphrase: async () => new Secret(wrong) }))
    assert.deepEqual([error.code, error.exit], ['VAULT_PASSPHRASE_WRONG', 77])
    assert.match(error.message, /identity$/)
    assert.doesNotMatch(printed(error), /canary|correct horse/i)
  }
})

test('an identity that is not there is told with what to do', async () => {
  await using directory = await scratch()
  const error = await refusalOf(() => openIdentity(directory.file('identity'), unasked))
  assert.deepEqual([error.code, error.exit], ['VAULT_MISSING', 78])
  assert.match(printed(error), /identity[\s\S]*state: no key can be read or stored[\s\S]*onecert init/)
})

for (const mode of [0o640, 0o604, 0o620, 0o610, 0o601, 0o644, 0o666, 0o777]) {
  test(`an identity of mode ${mode.toString(8)} is not opened`, async () => {
    await using directory = await scratch()
    const path = directory.file('identity')
    await createIdentity(path)
    await chmod(path, mode)
    const error = await refusalOf(() => openIdentity(path, unasked))
    assert.deepEqual([error.code, error.exit], ['VAULT_IDENTITY_OPEN', 77])
    assert.match(error.failure.fact ?? '', new RegExp(`mode is 0${mode.toString(8)}, 0600 is wanted`))
    assert.equal(error.failure.next, `chmod 0600 ${path}`)
    await chmod(path, 0o400)
    assert.ok(await openIdentity(path, unasked))
  })
}

test('it is the file behind a link whose mode counts', async () => {
  await using directory = await scratch()
  const [path, link] = [directory.file('identity'), directory.file('link')]
  const { recipient } = await createIdentity(path)
  await symlink('identity', link)
  assert.equal((await openIdentity(link, unasked)).recipient, recipient)
  await chmod(path, 0o644)
  const error = await refusalOf(() => openIdentity(link, unasked))
  assert.equal(error.code, 'VAULT_IDENTITY_OPEN')
})

const noIdentity: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['a text', 'hello\n'],
  ['a private key in PEM', '-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n'],
  ['an identity that was cut', 'AGE-SECRET-KEY-1CANARY\n'],
  ['an identity with a typing error', `AGE-SECRET-KEY-1${'Q'.repeat(58)}\n`],
  ['a recipient', `age1${'q'.repeat(58)}\n`],
]

for (const [what, text] of noIdentity) {
  test(`a file that holds ${what} is no identity, and nothing of it is shown`, async () => {
    await using directory = await scratch()
    const path = directory.file('identity')
    await writeFile(path, text, { mode: 0o600 })
    const error = await refusalOf(() => openIdentity(path, unasked))
    assert.deepEqual([error.code, error.exit], ['VAULT_IDENTITY_WRONG', 77])
    assert.doesNotMatch(printed(error), /canary|QQQ/i)
  })
}

test('what is no file, or too large, or not ours, is refused without being read', { timeout: 10_000 }, async () => {
  await using directory = await scratch()
  const path = directory.file('identity')
  await mkdir(path)
  assert.equal((await refusalOf(() => openIdentity(path, unasked))).code, 'INPUT_NOT_A_FILE')
  assert.equal(spawnSync('mkfifo', ['-m', '600', directory.file('pipe')]).status, 0)
  assert.equal((await refusalOf(() => openIdentity(directory.file('pipe'), unasked))).code, 'INPUT_NOT_A_FILE')
  await writeFile(directory.file('large'), Buffer.alloc(20_000), { mode: 0o600 })
  assert.equal((await refusalOf(() => openIdentity(directory.file('large'), unasked))).code, 'INPUT_TOO_LARGE')
  await chmod(directory.path, 0o755)
  await createIdentity(directory.file('closed'))
  await chmod(directory.file('closed'), 0)
  const error = await asNobody(() => refusalOf(() => openIdentity(directory.file('closed'), unasked)))
  assert.equal(error.code, 'INPUT_UNREADABLE')
})

test('where no identity can be written, that is told and nothing is left', async () => {
  await using directory = await scratch()
  await mkdir(directory.file('closed'))
  await chmod(directory.path, 0o755)
  await chmod(directory.file('closed'), 0o555)
  for (const name of ['closed/identity', 'closed/deeper/identity']) {
    const error = await asNobody(() => refusalOf(() => createIdentity(directory.file(name))))
    assert.deepEqual([error.code, error.exit], ['STATE_NOT_WRITABLE', 73])
  }
  assert.deepEqual(await readdir(directory.file('closed')), [])
})
