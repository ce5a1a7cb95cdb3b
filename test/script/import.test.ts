import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { parseFleet } from '../../src/fleet/document.ts'
import { fleetTemplate } from '../../src/fleet/template.ts'
import { createAuthority } from '../authority.ts'
import { scratch } from '../base/scratch.ts'
import { renewalText, writeCertbot } from '../clients.ts'
import { onecert } from '../onecert.ts'

const authority = await createAuthority()
const server = 'server = https://acme-v02.api.letsencrypt.org/directory'

interface ImportJson {
  readonly issuers: Record<string, { readonly watch: string }>
  readonly certificates: Record<string, unknown>
  readonly lineages: readonly { readonly name: string; readonly notes: readonly string[] }[]
  readonly skipped: readonly { readonly code: string }[]
  readonly hookFiles: readonly string[]
  readonly written: boolean
}

/** certbot's directory, and a fleet file beside it. */
async function start() {
  const place = await scratch()
  const directory = place.file('letsencrypt')
  const fleetFile = place.file('onecert.yaml')
  for (const each of ['renewal', 'live', 'renewal-hooks/deploy'])
    await mkdir(join(directory, each), { recursive: true })
  await writeFile(join(directory, 'live/README'), 'This directory contains your keys and certificates.\n')
  return {
    directory,
    fleetFile,
    run: onecert(fleetFile, place.file('state')),
    from: `--from-certbot=${directory}`,
    async lineage(name: string, parameters: readonly string[], names: readonly string[] = [name]) {
      const sold = await authority.sell({ names })
      const { intermediatePem } = authority
      await writeCertbot(join(directory, 'live', name), { sold, intermediatePem, number: 3 })
      await writeFile(join(directory, 'renewal', `${name}.conf`), renewalText(directory, name, parameters))
      return sold
    },
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}

const www = ['reuse_key = True', 'authenticator = dns-rfc2136', 'key_type = ecdsa', server]
const shop = [
  'authenticator = webroot',
  'installer = nginx',
  'renew_hook = curl --user x:hunter2 https://hooks.example',
  'preferred_chain = ISRG Root X1',
  'key_type = rsa',
  'rsa_key_size = 3072',
  server,
  '[[webroot_map]]',
  'shop.lab.example = /var/www/html',
]

test('what certbot has is proposed as lines of a fleet file, with what was seen and what cannot be taken over', async () => {
  await using place = await start()
  const sold = await place.lineage('www.lab.example', www, ['www.lab.example', '*.lab.example'])
  await place.lineage('shop.lab.example', shop)
  await writeFile(join(place.directory, 'renewal-hooks/deploy/copy'), '#!/bin/sh\n')
  const { exit, stdout, stderr } = await place.run('import', place.from)
  assert.deepEqual([exit, stderr], [0, ''])
  const live = join(place.directory, 'live')
  assert.deepEqual(parse(stdout), {
    issuers: {
      'shop.lab.example': { watch: join(live, 'shop.lab.example') },
      'www.lab.example': { watch: join(live, 'www.lab.example') },
    },
    certificates: {
      'shop.lab.example': {
        names: ['shop.lab.example'],
        issuer: 'shop.lab.example',
        key: { type: 'rsa-3072', 'keep-for': '0d' },
      },
      'www.lab.example': {
        names: ['www.lab.example', '*.lab.example'],
        issuer: 'www.lab.example',
        key: { type: 'ec-p256', 'keep-for': '365d' },
      },
    },
  })
  for (const comment of [
    /# certbot 2\.1\.0 gets it from https:\/\/acme-v02\S+ by dns-rfc2136/,
    /# valid until .*; certbot keeps its key \(reuse_key\)/,
    /# valid until .*; certbot makes a new key at each renewal/,
    /# certbot runs renew_hook for it; these are not taken over/,
    /# the chain "ISRG Root X1" is asked for/,
    /# the installer nginx /,
    /# its key is ec-p256 now, the next one will be rsa-3072/,
    /# certbot runs renewal-hooks\/deploy\/copy for all/,
  ]) {
    assert.match(stdout, comment)
  }
  assert.doesNotMatch(stdout, /hunter2|BEGIN/)
  assert.ok(!stdout.includes(sold.keyPem.split('\n')[1] ?? '-'))
  await assert.rejects(stat(place.fleetFile), { code: 'ENOENT' })
  // The proposal is what a fleet file takes.
  const whole = `version: 1\n${stdout}servers: {}\nsites: {}\n`
  assert.equal(parseFleet(whole, { file: 'proposed', directory: '/' }).issuers.get('www.lab.example')?.kind, 'watch')
})

test('private keys are not opened', async () => {
  await using place = await start()
  await place.lineage('www.lab.example', www)
  const key = join(place.directory, 'archive/www.lab.example/privkey3.pem')
  // With the usual relatime the time of access moves when it is older than a day.
  const yesterday = new Date(Date.now() - 2 * 86_400_000)
  await utimes(key, yesterday, yesterday)
  assert.equal((await place.run('import', place.from)).exit, 0)
  assert.equal((await stat(key)).atimeMs, yesterday.getTime())
  await rm(key)
  assert.equal((await place.run('import', place.from)).exit, 0)
})

test('--write adds them to the fleet file, keeps every line of it, and replaces nothing', async () => {
  await using place = await start()
  await place.lineage('www.lab.example', www)
  await writeFile(place.fleetFile, fleetTemplate(), { mode: 0o640 })
  const { exit, stdout, stderr } = await place.run('import', place.from, '--write')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /^added www\.lab\.example: www\.lab\.example\n.*next: add servers and sites/s)
  const written = await readFile(place.fleetFile, 'utf8')
  for (const line of fleetTemplate().split('\n')) assert.ok(written.split('\n').includes(line), line)
  assert.equal((await stat(place.fleetFile)).mode & 0o777, 0o640)
  assert.match((await place.run('check')).stdout, /is valid: 2 certificates, .*2 issuers/)

  const again = await place.run('import', place.from, '--write')
  assert.deepEqual([again.exit, again.stdout], [73, ''])
  assert.match(again.stderr, /IMPORT_EXISTS/)
  assert.match(again.stderr, /issuers\.www\.lab\.example, certificates\.www\.lab\.example/)
  assert.equal(await readFile(place.fleetFile, 'utf8'), written)
})

test('nothing is written where there is no fleet file, or one that is wrong', async () => {
  await using place = await start()
  await place.lineage('www.lab.example', www)
  const none = await place.run('import', place.from, '--write')
  assert.equal(none.exit, 78)
  assert.match(none.stderr, /CONFIG_NOT_FOUND.*onecert init/s)
  const wrong = fleetTemplate().replace('issuer: internal', 'issuer: nobody')
  await writeFile(place.fleetFile, wrong)
  const refused = await place.run('import', place.from, '--write')
  assert.equal(refused.exit, 78)
  assert.match(refused.stderr, /CONFIG_UNKNOWN_REFERENCE/)
  assert.equal(await readFile(place.fleetFile, 'utf8'), wrong)
  assert.deepEqual((await readdir(join(place.directory, '..'))).sort(), ['letsencrypt', 'onecert.yaml'])
})

test('nothing is written where the result would not be a fleet file', async () => {
  await using place = await start()
  const many = Array.from({ length: 101 }, (_, at) => `h${at}.lab.example`)
  await place.lineage('many.lab.example', www, many)
  await writeFile(place.fleetFile, fleetTemplate())
  const { exit, stdout, stderr } = await place.run('import', place.from, '--write')
  assert.deepEqual([exit, stdout], [78, ''])
  assert.match(stderr, /CONFIG_BAD_VALUE.*has more than 100 entries/s)
  assert.equal(await readFile(place.fleetFile, 'utf8'), fleetTemplate())
})

test('--json has the entries, what was seen, and what was skipped', async () => {
  await using place = await start()
  await place.lineage('www.lab.example', www)
  await place.lineage('Old Shop', [...shop, 'autorenew = False'].toSorted(), ['old.lab.example'])
  await writeFile(join(place.directory, 'renewal/broken.conf'), 'nonsense\n')
  await writeFile(join(place.directory, 'renewal/empty.conf'), '')
  await writeFile(join(place.directory, 'renewal/gone.conf'), renewalText(place.directory, 'gone', www))
  const found = await place.run.json<ImportJson>('import', place.from)
  assert.deepEqual(Object.keys(found.certificates), ['old-shop', 'www.lab.example'])
  assert.deepEqual(
    found.lineages.map(({ name, notes }) => [name, notes[0]]),
    [
      ['Old Shop', 'certbot calls it Old Shop'],
      ['www.lab.example', undefined],
    ],
  )
  assert.deepEqual(
    found.skipped.map(({ code }) => code),
    ['IMPORT_UNREADABLE', 'IMPORT_UNREADABLE', 'INPUT_NOT_FOUND'],
  )
  assert.equal(found.written, false)
  const { stdout } = await place.run('import', place.from)
  assert.equal([...stdout.matchAll(/^# not taken over: .*(broken|empty|gone)/gm)].length, 3)
})

test('a directory that certbot never had is told, with the option that names another', async () => {
  await using place = await start()
  for (const from of [place.from, `--from-certbot=${place.directory}/none`]) {
    const { exit, stdout, stderr } = await place.run('import', from)
    assert.deepEqual([exit, stdout], [65, ''])
    assert.match(stderr, /IMPORT_NOTHING_FOUND/)
    assert.match(stderr, /next: {2}.*--config-dir: onecert import --from-certbot=DIR/)
  }
  await writeFile(join(place.directory, 'renewal/broken.conf'), 'nonsense\n')
  const { exit, stderr } = await place.run('import', place.from)
  assert.equal(exit, 65)
  assert.match(stderr, /IMPORT_UNREADABLE: .*broken\.conf.*\n.*line 1 is no "key = value"/)
})
