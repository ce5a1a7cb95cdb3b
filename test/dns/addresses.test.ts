import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { systemClock } from '../../src/base/clock.ts'
import { addressBytes } from '../../src/dns/address.ts'
import { addAddress, publishedAddresses, removeAddress, type ZoneAtPrimary } from '../../src/dns/addresses.ts'
import { ask } from '../../src/dns/exchange.ts'
import { readTsigKey } from '../../src/dns/key-file.ts'
import { sendUpdate } from '../../src/dns/update.ts'
import { refusalOf } from '../base/refusals.ts'
import { type BindKey, type RunningBind, startBind } from '../real/bind.ts'
import { startDnsRelay } from '../real/dns-relay.ts'

const run = promisify(execFile)
const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }
const name = 'www.domain.example'
const within = () => AbortSignal.timeout(20_000)

let bind: RunningBind
let at: ZoneAtPrimary

before(async () => {
  bind = await startBind({
    keys: [key],
    zones: [
      {
        name: 'domain.example',
        types: ['A', 'AAAA'],
        records: ['www 77 A 192.0.2.1', 'alone A 192.0.2.9', 'shop CNAME www', 'note TXT "kept"'],
      },
      { name: 'texts.example' },
    ],
  })
  at = await zoneAt('domain.example')
})
after(() => bind.stop())

async function zoneAt(zone: string): Promise<ZoneAtPrimary> {
  const tsig = await readTsigKey({ file: await bind.keyFile(key) })
  return { zone, target: { server: bind, key: tsig, clock: systemClock, timeoutMs: 2_000 } }
}

async function dig(asked: string, type: 'A' | 'AAAA' | 'TXT') {
  const limits = { timeoutMs: 2_000, signal: within() }
  const { answers } = await ask(bind, { name: asked, type, recursive: false }, limits)
  return answers.flatMap((record) => (record.type === type ? [`${record.ttl} ${record.data}`] : [])).sort()
}

test('an address is added beside others, which stay; the set keeps its TTL, and twice is once', async () => {
  for (let twice = 0; twice < 2; twice++) {
    await addAddress(name, '192.0.2.2', 300, at, within())
    await addAddress(name, '2001:DB8:0::2', 300, at, within())
  }
  assert.deepEqual(await dig(name, 'A'), ['77 192.0.2.1', '77 192.0.2.2'])
  assert.deepEqual(await dig(name, 'AAAA'), ['300 2001:db8::2'])
  const { addresses, ttlS } = await publishedAddresses(name, at, within())
  assert.deepEqual([[...addresses].sort(), ttlS], [['192.0.2.1', '192.0.2.2', '2001:db8::2'], 300])
})

test('an address is removed and no other; one that is not there is none; the last ones stay', async () => {
  assert.equal(await removeAddress(name, '192.0.2.2', 1, at, within()), true)
  assert.equal(await removeAddress(name, '192.0.2.2', 1, at, within()), false)
  assert.deepEqual(await dig(name, 'A'), ['77 192.0.2.1'])
  const last = await refusalOf(() => removeAddress('alone.domain.example', '192.0.2.9', 1, at, within()))
  assert.equal(last.code, 'DNS_LAST_ADDRESS')
  assert.equal((await refusalOf(() => removeAddress(name, '192.0.2.1', 2, at, within()))).code, 'DNS_LAST_ADDRESS')
  // One of each kind: they count together.
  assert.equal(await removeAddress(name, '2001:db8::2', 1, at, within()), true)
  assert.deepEqual(await dig(name, 'A'), ['77 192.0.2.1'])
})

test('where somebody else takes an address away in between, the last one stays all the same', async () => {
  await addAddress('race.domain.example', '192.0.2.1', 60, at, within())
  await addAddress('race.domain.example', '192.0.2.2', 60, at, within())
  const file = await bind.keyFile(key)
  const { addresses } = await publishedAddresses('race.domain.example', at, within())
  const script = `server ${bind.address} ${bind.port}\nzone domain.example\nupdate delete race.domain.example A 192.0.2.1\nsend\n`
  await run('sh', ['-c', 'printf %s "$1" | nsupdate -k "$2"', 'sh', script, file], { timeout: 20_000 })
  const provided = [
    { name: 'race.domain.example', type: 'A', values: addresses },
    { name: 'race.domain.example', type: 'AAAA', values: [] },
  ] as const
  const record = { name: 'race.domain.example', type: 'A', value: '192.0.2.2', ttlS: 0 } as const
  assert.equal(
    await sendUpdate({ zone: 'domain.example', act: 'remove', record, provided }, at.target, within()),
    false,
  )
  assert.deepEqual(await dig('race.domain.example', 'A'), ['60 192.0.2.2'])
})

test('beside an alias no address is written, and it is said', async () => {
  const error = await refusalOf(() => addAddress('shop.domain.example', '192.0.2.3', 60, at, within()))
  assert.equal(error.code, 'DNS_ALIAS')
  assert.equal((await refusalOf(() => publishedAddresses('shop.domain.example', at, within()))).code, 'DNS_ALIAS')
  assert.deepEqual(await dig('shop.domain.example', 'AAAA'), [])
})

test('a key that may write texts only, and a server that has not the zone, are refused with the reason', async () => {
  const texts = await refusalOf(async () =>
    addAddress('www.texts.example', '192.0.2.3', 60, await zoneAt('texts.example'), within()),
  )
  assert.equal(texts.code, 'DNS_REFUSED')
  assert.match(texts.failure.next ?? '', /A records/)
  const foreign = await refusalOf(async () => publishedAddresses('www.foreign.test', at, within()))
  assert.equal(foreign.code, 'DNS_REFUSED')
  assert.match(foreign.failure.fact ?? '', /REFUSED/)
})

test('addresses become the bytes of their records', () => {
  const cases = [
    ['192.0.2.255', 'c00002ff'],
    ['2001:db8::7', '20010db8000000000000000000000007'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['fe80::', `fe80${'0'.repeat(28)}`],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
  ] as const
  for (const [text, hex] of cases) assert.equal(addressBytes(text).toString('hex'), hex, text)
})

test('a datagram that is cut in the middle of a record is not read: the whole answer comes over TCP', async () => {
  await using relay = await startDnsRelay(bind, (response, transport) => {
    if (transport === 'tcp') return response
    const cut = Buffer.from(response.subarray(0, -3))
    cut.writeUInt16BE(cut.readUInt16BE(2) | 0x0200, 2)
    return cut
  })
  const limits = { timeoutMs: 5_000, signal: within() }
  const { answers } = await ask(relay, { name: 'alone.domain.example', type: 'A', recursive: false }, limits)
  assert.deepEqual([answers.length, relay.seen], [1, { udp: 1, tcp: 1 }])
})
