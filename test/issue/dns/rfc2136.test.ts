import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { TsigAlgorithm } from '../../../src/dns/tsig.ts'
import { type Rfc2136Settings, rfc2136 } from '../../../src/issue/dns/provider/rfc2136.ts'
import { printed, refusalOf } from '../../base/refusals.ts'
import { scratch } from '../../base/scratch.ts'
import { dnsProviderContract } from '../../contract/dns-provider.ts'
import { type BindKey, type RunningBind, startBind } from '../../real/bind.ts'
import { type Meddle, startDnsRelay } from '../../real/dns-relay.ts'
import { chooseEndpoint } from '../../real/running.ts'
import { digTxt } from './lookup.ts'

const run = promisify(execFile)
const secretOf = (letter: string) => Buffer.alloc(48, letter).toString('base64')
const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: secretOf('k') }
const keys: readonly BindKey[] = [
  key,
  { name: 'long384', algorithm: 'hmac-sha384', secret: secretOf('l') },
  { name: 'long512', algorithm: 'hmac-sha512', secret: secretOf('m') },
  { name: 'stranger', algorithm: 'hmac-sha256', secret: secretOf('s') },
]
const name = '_acme-challenge.www.domain.example'
const value = 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ'
const within = () => AbortSignal.timeout(20_000)

let bind: RunningBind

before(async () => {
  const ours = ['onecert', 'long384', 'long512']
  bind = await startBind({
    zones: [
      { name: 'domain.example', keys: ours },
      { name: 'other.example', keys: ours },
    ],
    keys,
  })
})
after(() => bind.stop())

async function provider(settings: Partial<Rfc2136Settings> = {}, clock: Clock = systemClock) {
  return rfc2136({ server: bind.server, keyFile: await bind.keyFile(key), timeoutMs: 500, ...settings }, clock)
}

async function refusal(settings: Partial<Rfc2136Settings>, clock?: Clock) {
  const writer = await provider(settings, clock)
  const error = await refusalOf(() => writer.add({ name, value }, within()))
  for (const { secret } of keys) assert.ok(!printed(error).includes(secret))
  return error
}

async function nothingWritten(): Promise<void> {
  assert.deepEqual(await digTxt(bind, name), [])
}

dnsProviderContract('rfc2136', async () => {
  const own = await startBind({ zones: [{ name: 'domain.example' }], keys: [key] })
  return {
    provider: rfc2136({ server: own.server, keyFile: await own.keyFile(key) }, systemClock),
    values: (at) => digTxt(own, at),
    [Symbol.asyncDispose]: () => own.stop(),
  }
})

for (const { name: keyName, algorithm, secret } of keys.slice(0, 3)) {
  test(`a key file of BIND and a bare secret do with ${algorithm}`, async () => {
    await using place = await scratch()
    const bare = place.file('secret')
    await writeFile(bare, `${secret}\n`, { mode: 0o600 })
    const ofBind = await bind.keyFile({ name: keyName, algorithm, secret })
    const records = [
      { name, value: `${algorithm}-bind` },
      { name, value: `${algorithm}-bare` },
    ] as const
    const writers = [
      await provider({ keyFile: ofBind }),
      await provider({ keyFile: bare, keyName, algorithm: algorithm as TsigAlgorithm, zone: 'domain.example' }),
    ] as const
    await writers[0].add(records[0], within())
    await writers[1].add(records[1], within())
    assert.deepEqual((await digTxt(bind, name)).sort(), records.map((each) => each.value).sort())
    await writers[1].remove(records[0], within())
    await writers[0].remove(records[1], within())
    await nothingWritten()
  })
}

test('a value that nsupdate wrote stays, and one of ours can be taken away by nsupdate', async () => {
  const writer = await provider()
  const file = await bind.keyFile(key)
  const nsupdate = async (line: string) => {
    const script = `server ${bind.address} ${bind.port}\nzone domain.example\n${line}\nsend\n`
    await run('sh', ['-c', 'printf %s "$1" | nsupdate -k "$2"', 'sh', script, file], { timeout: 20_000 })
  }
  await nsupdate(`update add ${name} 60 TXT "theirs"`)
  await writer.add({ name, value }, within())
  assert.deepEqual((await digTxt(bind, name)).sort(), [value, 'theirs'].sort())
  await nsupdate(`update delete ${name} TXT "${value}"`)
  assert.deepEqual(await digTxt(bind, name), ['theirs'])
  await writer.remove({ name, value: 'theirs' }, within())
  await nothingWritten()
})

test('a key that the server does not have, and one with another algorithm, are BADKEY', async () => {
  for (const wrong of [
    { ...key, name: 'unknown' },
    { ...key, algorithm: 'hmac-sha512' },
  ]) {
    const error = await refusal({ keyFile: await bind.keyFile(wrong) })
    assert.equal(error.code, 'DNS_TSIG_BAD')
    assert.match(error.failure.fact ?? '', /BADKEY/)
  }
  await nothingWritten()
})

test('another secret is BADSIG', async () => {
  const error = await refusal({ keyFile: await bind.keyFile({ ...key, secret: secretOf('x') }) })
  assert.equal(error.code, 'DNS_TSIG_BAD')
  assert.match(error.failure.fact ?? '', /BADSIG/)
  await nothingWritten()
})

test('a clock that is an hour off is BADTIME, with both clocks', async () => {
  const nowMs = Date.now() - 3_600_000
  const error = await refusal({}, { ...systemClock, nowMs: () => nowMs })
  assert.equal(error.code, 'DNS_TSIG_BAD')
  const ours = new Date(nowMs).toISOString().slice(0, 16)
  const [, seconds] =
    new RegExp(`BADTIME: here it is ${ours}:\\d\\dZ, there 20[\\d:TZ-]+: (\\d+) s apart`).exec(
      error.failure.fact ?? '',
    ) ?? []
  assert.ok(Math.abs(Number(seconds) - 3600) <= 5, error.failure.fact)
  await nothingWritten()
})

test('REFUSED, NOTAUTH and NOTZONE each say what they are', async () => {
  const stranger = await bind.keyFile(keys[3] ?? key)
  const cases = [
    [{ keyFile: stranger }, /^REFUSED: this key may not/],
    [{ zone: 'elsewhere.example' }, /^NOTAUTH: it is not the primary/],
    [{ zone: 'other.example' }, /^NOTZONE: the name is not in this zone/],
  ] as const
  for (const [settings, fact] of cases) {
    const error = await refusal(settings)
    assert.equal(error.code, 'DNS_REFUSED')
    assert.match(error.failure.fact ?? '', fact)
    assert.equal(error.failure.state, 'nothing was changed')
  }
  await nothingWritten()
})

test('a server without a zone for the name is told apart', async () => {
  const writer = await provider()
  const error = await refusalOf(() => writer.add({ name: '_acme-challenge.foreign.test', value }, within()))
  assert.equal(error.code, 'DNS_ZONE_NOT_FOUND')
  assert.match(error.failure.fact ?? '', /REFUSED/)
})

const flipLastBits: Meddle = (response) => {
  const changed = Buffer.from(response)
  // In the MAC: 16 bytes before its end stand original ID, error and length of other data, 6 bytes.
  const at = changed.length - 6 - 16
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

const faults: readonly (readonly [string, Meddle, RegExp])[] = [
  ['whose MAC was changed', flipLastBits, /signature \(MAC\) does not fit/],
  [
    'whose content was changed',
    (response) => {
      const changed = Buffer.from(response)
      changed.writeUInt16BE(changed.readUInt16BE(2) ^ 0x0400, 2)
      return changed
    },
    /signature \(MAC\) does not fit/,
  ],
  ['without its signature', (response) => withoutTsig(response), /not signed/],
]

function withoutTsig(response: Buffer): Buffer {
  // The answer to an UPDATE of BIND: header, zone, TSIG.
  const changed = Buffer.from(response.subarray(0, 12 + 'domain.example'.length + 2 + 4))
  changed.writeUInt16BE(0, 10)
  return changed
}

for (const [what, meddle, fact] of faults) {
  test(`an answer ${what} is not believed, though the record may be there`, async () => {
    await using relay = await startDnsRelay(bind, meddle)
    const error = await refusal({ server: relay.server, zone: 'domain.example' })
    assert.equal(error.code, 'DNS_TSIG_BAD')
    assert.match(error.failure.fact ?? '', fact)
    assert.match(error.failure.state ?? '', /doing it again does no harm/)
    assert.deepEqual(relay.seen, { udp: 1, tcp: 1 })
    assert.deepEqual(await digTxt(bind, name), [value])
    await (await provider()).remove({ name, value }, within())
    await nothingWritten()
  })
}

test('a forged datagram does no harm where the true answer follows it', async () => {
  let forged = 0
  await using relay = await startDnsRelay(bind, (response, transport) => {
    if (transport === 'tcp') return response
    forged += 1
    return flipLastBits(response, transport)
  })
  const writer = await provider({ server: relay.server, zone: 'domain.example' })
  await writer.add({ name, value }, within())
  assert.deepEqual([forged, relay.seen.tcp], [1, 1])
  assert.deepEqual(await digTxt(bind, name), [value])
  await writer.remove({ name, value }, within())
  await nothingWritten()
})

for (const [what, meddle] of [
  ['is lost', (response, transport) => (transport === 'udp' ? null : response)],
  [
    'is cut',
    (response, transport) => {
      const changed = Buffer.from(response)
      if (transport === 'udp') changed.writeUInt16BE(changed.readUInt16BE(2) | 0x0200, 2)
      return changed
    },
  ],
] as readonly (readonly [string, Meddle])[]) {
  test(`where the answer over UDP ${what}, it comes over TCP`, async () => {
    await using relay = await startDnsRelay(bind, meddle)
    const writer = await provider({ server: relay.server, zone: 'domain.example' })
    await writer.add({ name, value }, within())
    assert.deepEqual(relay.seen, { udp: 1, tcp: 1 })
    assert.deepEqual(await digTxt(bind, name), [value])
    await writer.remove({ name, value }, within())
    await nothingWritten()
  })
}

test('what does not fit into a datagram goes over TCP at once', async () => {
  await using relay = await startDnsRelay(bind, (response) => response)
  const writer = await provider({ server: relay.server, zone: 'domain.example' })
  const long = { name, value: 'v'.repeat(600) }
  await writer.add(long, within())
  assert.deepEqual(relay.seen, { udp: 0, tcp: 1 })
  assert.equal((await digTxt(bind, name)).join('').replaceAll('" "', ''), long.value)
  await writer.remove(long, within())
  await nothingWritten()
})

test('a server that is down, and one that is silent, are unreachable', async () => {
  const nobody = await chooseEndpoint({})
  const down = await refusal({ server: `${nobody.address}:${nobody.port}` })
  assert.equal(down.code, 'DNS_UNREACHABLE')
  assert.match(down.failure.fact ?? '', /UDP: ECONNREFUSED, TCP: ECONNREFUSED/)
  await using relay = await startDnsRelay(bind, () => null)
  const silent = await refusal({ server: relay.server, zone: 'domain.example', timeoutMs: 200 })
  assert.equal(silent.code, 'DNS_UNREACHABLE')
  assert.match(silent.failure.fact ?? '', /UDP: nothing within 200 ms, TCP: closed without an answer/)
  await (await provider()).remove({ name, value }, within())
  await nothingWritten()
})

test('an interrupted wait ends with the reason of the interruption', async () => {
  await using relay = await startDnsRelay(bind, () => null)
  const writer = await provider({ server: relay.server, timeoutMs: 10_000 })
  const reason = new Error('enough')
  const stop = new AbortController()
  setTimeout(() => stop.abort(reason), 100)
  await assert.rejects(writer.add({ name, value }, stop.signal), (error) => error === reason)
})

test('a key file that is open, weak, short, empty or ambiguous is refused, and its secret is not shown', async () => {
  await using place = await scratch()
  const file = place.file('key')
  const statement = (algorithm: string, secret: string, keyName = 'onecert') =>
    `key "${keyName}" { algorithm ${algorithm}; secret "${secret}"; };\n`
  const cases = [
    [statement('hmac-sha1', key.secret), {}, /hmac-sha1; hmac-sha256/],
    [statement('hmac-md5.sig-alg.reg.int', key.secret), {}, /hmac-md5/],
    [statement('hmac-sha256', 'c2hvcnQ='), {}, /5 bytes, 16 are wanted/],
    [statement('hmac-sha256', 'not*base64*at*all*'), {}, /not Base64/],
    [statement('hmac-sha256', key.secret) + statement('hmac-sha256', key.secret, 'b'), {}, /the keys onecert, b/],
    [statement('hmac-sha256', key.secret), { keyName: 'another' }, /the keys onecert$/],
    [`${key.secret}\n`, {}, /no key name is given/],
    ['', { keyName: 'onecert' }, /not there, or not Base64/],
    [`// ${statement('hmac-sha256', key.secret)}`, {}, /no key statement/],
  ] as const
  for (const [text, settings, fact] of cases) {
    await writeFile(file, text, { mode: 0o600 })
    const error = await refusal({ keyFile: file, ...settings })
    assert.equal(error.code, 'DNS_CREDENTIAL_BAD')
    assert.match(error.failure.fact ?? '', fact)
  }
  await writeFile(file, statement('hmac-sha256', key.secret))
  await chmod(file, 0o644)
  assert.equal((await refusal({ keyFile: file })).code, 'DNS_CREDENTIAL_OPEN')
  await chmod(file, 0o640)
  await (await provider({ keyFile: file })).remove({ name, value }, within())
  await nothingWritten()
})
