import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { makeResolver } from '../../../src/dns/resolver.ts'
import { exec } from '../../../src/issue/dns/provider/exec.ts'
import { type Scratch, scratch } from '../../base/scratch.ts'
import { dnsProviderContract } from '../../contract/dns-provider.ts'
import { lexiconProgram } from '../../real/dns-program.ts'
import { type RunningPowerDns, startPowerDns } from '../../real/powerdns.ts'
import { digTxt } from './lookup.ts'

/** lexicon finds zones by the list of public suffixes: this one is reserved (RFC 2606). */
const zone = 'example.org'

let powerDns: RunningPowerDns
let place: Scratch
const home = process.env.HOME

before(async () => {
  place = await scratch()
  // Where lexicon keeps its copy of that list.
  process.env.HOME = place.path
  powerDns = await startPowerDns([zone, `delegated.${zone}`])
})
after(async () => {
  process.env.HOME = home
  await powerDns.stop()
  await place[Symbol.asyncDispose]()
})

const placeAt = async (at: string) => ({
  provider: exec(
    { exec: [await lexiconProgram(place.path, powerDns), 'powerdns'] },
    makeResolver({ servers: [powerDns.server] }),
  ),
  values: (name: string) => digTxt(powerDns, name),
  [Symbol.asyncDispose]: () => powerDns.clear(at),
})

for (const at of [zone, `delegated.${zone}`]) {
  dnsProviderContract(`examples/dns/lexicon at PowerDNS, ${at}`, () => placeAt(at), at)
}

test('of many that write at one name at once no value is lost, though lexicon reads all and writes them anew', async () => {
  await using at = await placeAt(zone)
  const name = `_acme-challenge.${zone}`
  const values = Array.from({ length: 12 }, (_, number) => `value-${number}`)
  const signal = AbortSignal.timeout(60_000)
  await Promise.all(values.map((value) => at.provider.add({ name, value }, signal)))
  assert.deepEqual((await at.values(name)).sort(), values.sort())
})
