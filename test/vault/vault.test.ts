import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { OnecertError } from '../../src/base/errors.ts'
import { Secret } from '../../src/base/secret.ts'
import { createIdentity } from '../../src/vault/identity.ts'
import { openVault, type Vault } from '../../src/vault/vault.ts'
import { asNobody, underUmask } from '../base/account.ts'
import { printed, refusalOf } from '../base/refusals.ts'
import { type Scratch, scratch } from '../base/scratch.ts'
import { killWhileWriting } from '../base/victim.ts'
import { digestOf } from './endless-putter.ts'
import { madeUpKey } from './lineage.ts'

interface Place extends AsyncDisposable {
  readonly directory: Scratch
  readonly identityFile: string
  readonly recipient: string
  readonly vault: Vault
  file(lineage: string, spki: string): string
}

async function openPlace(): Promise<Place> {
  const directory = await scratch()
  const identityFile = directory.file('identity')
  const identity = await createIdentity(identityFile)
  return {
    directory,
    identityFile,
    recipient: identity.recipient,
    vault: openVault(directory.file('vault'), identity),
    file: (lineage, spki) => directory.file(join('vault', lineage, `${spki}.age`)),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

/** `damaged` for the codes that a spoilt file may have; anything else that comes out is told as it is. */
async function outcomeOf(vault: Vault, lineage: string, spki: string): Promise<string> {
  try {
    return `read: ${(await vault.get(lineage, spki)).reveal()}`
  } catch (thrown) {
    if (!(thrown instanceof OnecertError)) throw thrown
    assert.doesNotMatch(printed(thrown), /BEGIN PRIVATE KEY/)
    return thrown.code
  }
}

test('a key is read back as it was put, by this vault and by another that has the identity', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  assert.equal(await place.vault.has('www', spki), false)
  await place.vault.put('www', key, spki)
  assert.equal(await place.vault.has('www', spki), true)
  assert.equal((await place.vault.get('www', spki)).reveal(), key.reveal())
  await cp(place.directory.file('vault'), place.directory.file('moved'), { recursive: true })
  const moved = openVault(place.directory.file('moved'), {
    identity: new Secret((await readFile(place.identityFile, 'utf8')).split('\n')[2] ?? ''),
    recipient: place.recipient,
  })
  assert.equal((await moved.get('www', spki)).reveal(), key.reveal())
})

test('what is removed is gone for good, and nothing else; what is not there is no error', async () => {
  await using place = await openPlace()
  const [gone, stays] = [madeUpKey(), madeUpKey()]
  for (const { key, spki } of [gone, stays]) await place.vault.put('www', key, spki)
  for (let twice = 0; twice < 2; twice++) await place.vault.remove('www', gone.spki)
  await place.vault.remove('api', gone.spki)
  assert.equal(await place.vault.has('www', gone.spki), false)
  assert.deepEqual(await readdir(place.directory.file(join('vault', 'www'))), [`${stays.spki}.age`])
  await assert.rejects(place.vault.remove('../www', stays.spki))
})

test('any text is kept exactly', async () => {
  await using place = await openPlace()
  for (const text of ['', '\n', 'no line end', 'a\r\nb\n\n', `${'x'.repeat(60_000)}\n`, 'ключ 🔑 \u0000']) {
    const spki = digestOf(text)
    await place.vault.put('www', new Secret(text), spki)
    assert.equal((await place.vault.get('www', spki)).reveal(), text)
  }
})

test('files have mode 0600 and directories 0700, whatever the umask', async () => {
  for (const mask of [0o000, 0o077]) {
    await using place = await openPlace()
    const { key, spki } = madeUpKey()
    await underUmask(mask, () => place.vault.put('www', key, spki))
    assert.equal((await stat(place.file('www', spki))).mode & 0o7777, 0o600)
    for (const name of ['vault', 'vault/www']) {
      assert.equal((await stat(place.directory.file(name))).mode & 0o7777, 0o700)
    }
  }
})

test('the same key again changes nothing', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  const before = await readFile(place.file('www', spki))
  await place.vault.put('www', key, spki)
  assert.ok(before.equals(await readFile(place.file('www', spki))))
})

test('keys are listed by lineage and SPKI, and nothing else in the directory is', async () => {
  await using place = await openPlace()
  assert.deepEqual(await place.vault.list(), [])
  const keys = [madeUpKey(), madeUpKey(), madeUpKey()]
  const lineages = ['www', 'www', 'ca..lab..root']
  for (const [at, { key, spki }] of keys.entries()) await place.vault.put(lineages[at] ?? '', key, spki)
  const [one] = keys
  await writeFile(place.directory.file('vault/www/notes.age'), 'x')
  await writeFile(place.directory.file(`vault/www/.${one?.spki}.age.0123456789ab`), 'x')
  await writeFile(place.directory.file(`vault/${one?.spki}.age`), 'x')
  await mkdir(place.directory.file('vault/www/deeper'))
  await writeFile(place.directory.file(`vault/www/deeper/${one?.spki}.age`), 'x')
  const text = (entries: readonly { lineage: string; spki: string }[]) =>
    entries.map(({ lineage, spki }) => `${lineage} ${spki}`).sort()
  assert.deepEqual(
    text(await place.vault.list()),
    text(keys.map(({ spki }, at) => ({ lineage: lineages[at] ?? '', spki }))),
  )
})

test('a vault that may not be read is not an empty one', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  await chmod(place.directory.path, 0o755)
  for (const [closed, open] of [
    ['vault', 'vault/www'],
    ['vault/www', 'vault'],
  ] as const) {
    await chmod(place.directory.file(open), 0o755)
    await chmod(place.directory.file(closed), 0o700)
    const error = await asNobody(() => refusalOf(() => place.vault.list()))
    assert.deepEqual([error.code, error.exit], ['INPUT_UNREADABLE', 77])
    assert.ok(error.message.startsWith(place.directory.file(closed)))
    assert.match(error.failure.fact ?? '', /mode 0700; we are uid \d+$/)
  }
})

test('of two that put different keys under one name at once, one stays, and is never replaced', async () => {
  await using place = await openPlace()
  const spki = 'd'.repeat(64)
  await Promise.all(['first', 'second'].map((text) => place.vault.put('www', new Secret(text), spki)))
  const kept = (await place.vault.get('www', spki)).reveal()
  const bytes = await readFile(place.file('www', spki))
  await place.vault.put('www', new Secret('third'), spki)
  assert.ok(bytes.equals(await readFile(place.file('www', spki))))
  assert.match(kept, /^(first|second)$/)
})

test('a key that is not there is told with its name, its path and the way to a new one', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  for (const [lineage, wanted] of [
    ['www', '0'.repeat(64)],
    ['api', spki],
  ] as const) {
    const error = await refusalOf(() => place.vault.get(lineage, wanted))
    assert.deepEqual([error.code, error.exit], ['VAULT_KEY_MISSING', 65])
    assert.match(error.message, new RegExp(`no key ${wanted.slice(0, 8)} of ${lineage}`))
    assert.equal(error.failure.next, `onecert renew ${lineage} --rekey`)
    assert.equal(await place.vault.has(lineage, wanted), false)
  }
})

const badNames: readonly (readonly [string, string])[] = [
  ['../escaped', 'a'.repeat(64)],
  ['.hidden', 'a'.repeat(64)],
  ['a/b', 'a'.repeat(64)],
  ['WWW', 'a'.repeat(64)],
  ['', 'a'.repeat(64)],
  ['www\n', 'a'.repeat(64)],
  ['w'.repeat(129), 'a'.repeat(64)],
  ['www', 'A'.repeat(64)],
  ['www', `../${'a'.repeat(61)}`],
  ['www', 'a'.repeat(63)],
  ['www', ''],
]

test('a name that could leave the directory is never used', async () => {
  await using place = await openPlace()
  for (const [lineage, spki] of badNames) {
    for (const act of [
      () => place.vault.put(lineage, new Secret('canary'), spki),
      () => place.vault.get(lineage, spki),
      () => place.vault.has(lineage, spki),
    ]) {
      assert.equal((await refusalOf(act)).code, 'INTERNAL', `${lineage} ${spki}`)
    }
  }
  assert.deepEqual(await readdir(place.directory.path), ['identity'])
})

test('another identity opens nothing, and is told as the wrong one, with its public key', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  const before = await readFile(place.file('www', spki))
  const other = await createIdentity(place.directory.file('other'))
  const vault = openVault(place.directory.file('vault'), other)
  for (const act of [
    () => vault.get('www', spki),
    () => vault.has('www', spki),
    () => vault.put('www', new Secret('another'), spki),
  ]) {
    const error = await refusalOf(act)
    assert.deepEqual([error.code, error.exit], ['VAULT_IDENTITY_WRONG', 77])
    assert.match(error.failure.fact ?? '', new RegExp(other.recipient))
    assert.doesNotMatch(printed(error), /AGE-SECRET-KEY|PRIVATE KEY/)
  }
  assert.ok(before.equals(await readFile(place.file('www', spki))))
})

test('every flipped byte is found: no key comes out, and one of two codes', async () => {
  await using place = await openPlace()
  const [key, spki] = [new Secret('key'), 'b'.repeat(64)]
  await place.vault.put('www', key, spki)
  const path = place.file('www', spki)
  const whole = await readFile(path)
  // Before the body of the stanza and after the header, nobody can take the damage for another identity's file.
  const header = whole.indexOf('\n---')
  for (let at = 0; at < whole.length; at++) {
    const spoilt = Buffer.from(whole)
    spoilt[at] = (spoilt[at] ?? 0) ^ (1 << (at % 8))
    await writeFile(path, spoilt)
    const code = await outcomeOf(place.vault, 'www', spki)
    if (at > header) assert.equal(code, 'VAULT_DAMAGED', `byte ${at}`)
    else assert.match(code, /^VAULT_(DAMAGED|IDENTITY_WRONG)$/, `byte ${at}`)
  }
  await writeFile(path, whole)
  assert.equal((await place.vault.get('www', spki)).reveal(), key.reveal())
})

test('every length that a file may be cut to, and every byte too many, is found', async () => {
  await using place = await openPlace()
  const [key, spki] = [new Secret('key'), 'b'.repeat(64)]
  await place.vault.put('www', key, spki)
  const path = place.file('www', spki)
  const whole = await readFile(path)
  for (let length = 0; length < whole.length; length++) {
    await writeFile(path, whole.subarray(0, length))
    assert.equal(await outcomeOf(place.vault, 'www', spki), 'VAULT_DAMAGED', `${length} bytes`)
  }
  for (const more of ['\n', '\0', 'x'.repeat(100)]) {
    await writeFile(path, Buffer.concat([whole, Buffer.from(more)]))
    assert.equal(await outcomeOf(place.vault, 'www', spki), 'VAULT_DAMAGED')
  }
})

test('a damaged file is told with its path, what goes on, and what to do; putting does not hide it', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  await writeFile(place.file('www', spki), 'x')
  for (const act of [() => place.vault.get('www', spki), () => place.vault.put('www', key, spki)]) {
    const error = await refusalOf(act)
    assert.deepEqual([error.code, error.exit], ['VAULT_DAMAGED', 74])
    assert.ok(error.message.includes(place.file('www', spki)))
    assert.match(printed(error), /servers go on serving[\s\S]*backup[\s\S]*--rekey/)
  }
})

test('files that were exchanged are found, between keys and between lineages', async () => {
  await using place = await openPlace()
  const [one, two] = [madeUpKey(), madeUpKey()]
  await place.vault.put('www', one.key, one.spki)
  await place.vault.put('www', two.key, two.spki)
  await place.vault.put('api', one.key, one.spki)
  await rename(place.file('www', two.spki), place.file('www', one.spki))
  assert.equal(await outcomeOf(place.vault, 'www', one.spki), 'VAULT_DAMAGED')
  await cp(place.file('api', one.spki), place.file('www', one.spki))
  assert.equal(await outcomeOf(place.vault, 'www', one.spki), 'VAULT_DAMAGED')
})

test('a file beyond the limit is not read', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  await writeFile(place.file('www', spki), Buffer.alloc(65_537))
  assert.equal(await outcomeOf(place.vault, 'www', spki), 'INPUT_TOO_LARGE')
})

test('where nothing can be written, that is told and nothing is half there', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await mkdir(place.directory.file('vault'))
  await chmod(place.directory.path, 0o755)
  await chmod(place.directory.file('vault'), 0o555)
  const error = await asNobody(() => refusalOf(() => place.vault.put('www', key, spki)))
  assert.deepEqual([error.code, error.exit], ['STATE_NOT_WRITABLE', 73])
  assert.match(error.failure.fact ?? '', /^EACCES;/)
  assert.deepEqual(await readdir(place.directory.file('vault')), [])
})

test('puts at the same time are all there', async () => {
  await using place = await openPlace()
  const keys = Array.from({ length: 20 }, madeUpKey)
  await Promise.all(keys.map(({ key, spki }, at) => place.vault.put(`l${at % 2}`, key, spki)))
  const read = await Promise.all(keys.map(({ spki }, at) => place.vault.get(`l${at % 2}`, spki)))
  assert.deepEqual(
    read.map((each) => each.reveal()),
    keys.map(({ key }) => key.reveal()),
  )
})

test('a key has its name only once it is whole', async () => {
  await using place = await openPlace()
  const sizes = new Set<number>()
  let putting = true
  const watch = async () => {
    while (putting) {
      const names = readdirSync(place.directory.file('vault'), { recursive: true, encoding: 'utf8' })
      for (const name of names.filter((each) => each.endsWith('.age'))) {
        sizes.add(statSync(join(place.directory.file('vault'), name)).size)
      }
      await new Promise(setImmediate)
    }
  }
  await mkdir(place.directory.file('vault'))
  const watching = watch()
  for (let count = 0; count < 30; count++) {
    const { key, spki } = madeUpKey()
    await place.vault.put('www', key, spki)
  }
  putting = false
  await watching
  assert.equal(sizes.size, 1, `seen with ${[...sizes].join(', ')} bytes`)
})

test('kill -9 at any moment leaves every key that was told as stored, and no file that is not whole', async () => {
  await using place = await openPlace()
  const script = join(import.meta.dirname, 'endless-putter.ts')
  const stored = new Map<string, string>()
  for (let round = 0; round < 5; round++) {
    const told = await killWhileWriting(script, [place.directory.file('vault'), place.identityFile], 3 + 2 * round)
    for (const line of told) {
      const [lineage, spki, digest = ''] = line.split(' ')
      stored.set(`${lineage} ${spki}`, digest)
    }
  }
  const listed = await place.vault.list()
  const there = new Set(listed.map(({ lineage, spki }) => `${lineage} ${spki}`))
  for (const name of stored.keys()) assert.ok(there.has(name), `${name} was told as stored, and is not there`)
  for (const { lineage, spki } of listed) {
    const key = (await place.vault.get(lineage, spki)).reveal()
    assert.equal(spki, digestOf(key))
    assert.equal(stored.get(`${lineage} ${spki}`) ?? digestOf(key), digestOf(key))
  }
})

test('the age program opens a file of the vault with the identity, and what it encrypts can be read', async () => {
  await using place = await openPlace()
  const { key, spki } = madeUpKey()
  await place.vault.put('www', key, spki)
  const opened = spawnSync('age', ['--decrypt', '--identity', place.identityFile, place.file('www', spki)])
  assert.equal(opened.status, 0, opened.stderr.toString())
  assert.equal(opened.stdout.toString(), `www ${spki}\n${key.reveal()}`)
  const other = madeUpKey()
  const input = `www ${other.spki}\n${other.key.reveal()}`
  const output = place.file('www', other.spki)
  const sealed = spawnSync('age', ['--encrypt', '--recipient', place.recipient, '--output', output], { input })
  assert.equal(sealed.status, 0, sealed.stderr.toString())
  assert.equal((await place.vault.get('www', other.spki)).reveal(), other.key.reveal())
})

test('no file of the directory holds anything of a key in clear', async () => {
  await using place = await openPlace()
  const canary = 'CanaryCanaryCanaryCanaryCanaryCanary'
  const key = new Secret(`-----BEGIN PRIVATE KEY-----\n${canary}\n-----END PRIVATE KEY-----\n`)
  await place.vault.put('www', key, 'c'.repeat(64))
  const names = await readdir(place.directory.path, { recursive: true, withFileTypes: true })
  const files = names.filter((each) => each.isFile())
  assert.equal(files.length, 2)
  const forms = [canary, 'PRIVATE KEY', Buffer.from(canary).toString('base64'), Buffer.from(canary).toString('hex')]
  for (const file of files) {
    const bytes = await readFile(join(file.parentPath, file.name))
    for (const form of forms) assert.ok(!bytes.includes(form), `${file.name} holds ${form}`)
    for (const offset of [1, 2]) {
      assert.ok(!bytes.includes(Buffer.from(canary.slice(offset, offset + 30)).toString('base64')))
    }
  }
})
