import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digTxt } from '../issue/dns/lookup.ts'
import { lexiconProgram } from '../real/dns-program.ts'
import { startFleet } from '../real/fleet.ts'
import { startPebble } from '../real/pebble.ts'
import { startPowerDns } from '../real/powerdns.ts'

test('lexicon writes the records at PowerDNS, Pebble finds them there, and they are gone at the end', async () => {
  // Reserved (RFC 2606), and below a public suffix: lexicon knows no other zones.
  const zone = 'example.org'
  await using powerDns = await startPowerDns([zone])
  await using pebble = await startPebble({ dnsServer: powerDns.server })
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const trust = join(fleet.directory, 'ca.pem')
  await writeFile(trust, pebble.trust)
  await lexiconProgram(fleet.directory, powerDns)
  const names = [zone, `*.${zone}`]
  await fleet.configure((document) => {
    // Beside the fleet file, as other files are.
    const dns = { exec: ['./lexicon', 'powerdns'], resolvers: [powerDns.server], port: powerDns.port }
    document.issuers.lab = { acme: pebble.directoryUrl, 'ca-file': trust, 'dns-01': dns }
    document.certificates.all = { names, issuer: 'lab' }
  })
  const home = process.env.HOME
  // Where lexicon keeps its copy of the list of public suffixes.
  process.env.HOME = fleet.directory
  try {
    const { exit, stdout, stderr } = await fleet.run('issue', 'all')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /generation 1/)
  } finally {
    process.env.HOME = home
  }
  assert.deepEqual(await digTxt(powerDns, `_acme-challenge.${zone}`), [])
})
