import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { certificateId } from '../../src/issue/acme/certificate-id.ts'
import { accounts } from '../../src/issue/acme/registration.ts'
import { type RenewalState, renewalStates } from '../../src/issue/renewal-state.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { openStore } from '../../src/store/sqlite.ts'
import type { GenerationRow } from '../../src/store/store.ts'
import { askCa } from '../real/acme-fleet.ts'
import {
  type AcmeProxy,
  path,
  type RenewalAnswer,
  rateLimited,
  startAcmeProxy,
  unavailable,
} from '../real/acme-proxy.ts'
import { audited, type FleetDocument, type RealFleet, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'

const httpPort = 5002
const dayMs = 86_400_000
const explanationURL = 'https://ca.example/why'
let pebble: Pebble
let proxy: AcmeProxy
let window: RenewalAnswer | null = null

before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, httpPort, blockedNames: ['blocked.example'] })
  proxy = await startAcmeProxy(pebble, { renewalInfo: () => window })
})
beforeEach(async () => {
  await proxy.clear()
  window = windowAt(2)
})
after(async () => {
  await proxy.stop()
  await pebble.stop()
})

/** A day long; the CA is asked for it again a minute later. */
function windowAt(startDay: number): RenewalAnswer {
  const at = (day: number) => new Date(Date.now() + day * dayMs).toISOString()
  return { suggestedWindow: { start: at(startDay), end: at(startDay + 1) }, explanationURL, retryAfter: 60 }
}

/** One server with real nginx, whose certificate comes from the CA behind the proxy. */
async function fleetAtCa(change: (document: FleetDocument) => void = () => {}): Promise<RealFleet> {
  const fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort } })
  await askCa(fleet, { pebble, directoryUrl: proxy.directoryUrl, httpPort, change })
  return fleet
}

const asked = (begin: string) => proxy.seen.filter(path(begin)).length
const ordered = () => asked('/order-plz')

async function inStore<Result>(
  fleet: RealFleet,
  act: (store: Awaited<ReturnType<typeof openStore>>) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(join(fleet.directory, 'state'))
  try {
    return await act(store)
  } finally {
    await store.close()
  }
}

const generations = (fleet: RealFleet): Promise<GenerationRow[]> => inStore(fleet, (store) => store.generations('www'))

/** As it would be later, without the wait. */
const changeState = (fleet: RealFleet, change: (state: RenewalState) => RenewalState) =>
  inStore(fleet, (store) => renewalStates(store).change('www', (state) => state && change(state)))

/** The CA has said that it wants the certificate renewed, and we have heard it. */
async function becomeDue(fleet: RealFleet): Promise<void> {
  window = windowAt(-2)
  await changeState(fleet, (state) => ({ ...state, look: null }))
  assert.match((await fleet.run('plan')).stdout, /its CA asks for a renewal now/)
}

async function apply(fleet: RealFleet, ...words: string[]): Promise<string> {
  const { exit, stdout, stderr } = await fleet.run('apply', ...words)
  assert.equal(exit, 0, stderr)
  assert.equal(await fleet.server('eu-1').served(), (await generations(fleet)).at(-1)?.fingerprint)
  return stdout
}

function idOf({ chainPem }: GenerationRow): string {
  const [leaf] = parseCertificates(Buffer.from(chainPem), { file: 'the generation' })
  assert.ok(leaf)
  return certificateId(leaf.der)
}

describe('a certificate from an ACME CA is renewed', () => {
  test('in the window that the CA gives and not before; plan says so and orders nothing; the order says what it replaces', async () => {
    await using fleet = await fleetAtCa()
    assert.match(await apply(fleet), /generation 1 issued/)
    const orders = ordered()
    await apply(fleet)
    assert.ok(asked('/renewal-info/') >= 1)
    assert.equal(ordered(), orders)

    window = windowAt(-2)
    await changeState(fleet, (state) => ({ ...state, look: null }))
    const before = proxy.seen.length
    const { stdout, exit } = await fleet.run('plan')
    assert.equal(exit, 0)
    assert.match(
      stdout,
      /generation 2, .*to be issued by lab, because its CA asks for a renewal now \(https:\/\/ca\.example\/why\)/,
    )
    const posts = proxy.seen.slice(before).filter(({ method }) => method === 'POST')
    assert.deepEqual(posts, [])
    assert.equal((await generations(fleet)).length, 1)

    assert.match(await apply(fleet), /generation 2 issued, because its CA asks for a renewal now/)
    const [first, second] = await generations(fleet)
    assert.ok(first && second)
    const { payload } = proxy.seen.findLast(path('/order-plz')) ?? {}
    assert.equal((payload as { replaces?: string }).replaces, idOf(first))
    // Inside keep-for no private key travels.
    assert.equal(second.spki, first.spki)
  })

  test('by renew where it is due; else renew says when it will be, asks for nothing and looks at no server', async () => {
    await using fleet = await fleetAtCa()
    await apply(fleet)
    const [first] = await generations(fleet)
    assert.ok(first)
    const seen = proxy.seen.length
    const looked = (await fleet.run.json<{ entries: unknown[] }>('ledger', '--last', '1000')).entries.length
    const early = await fleet.run('renew')
    assert.equal(early.exit, 0, early.stderr)
    const { notDue, certificates } = await fleet.run.json<{
      certificates: unknown[]
      notDue: { certificate: string; generation: number; due: string }[]
    }>('renew')
    assert.deepEqual(certificates, [])
    assert.deepEqual([notDue[0]?.certificate, notDue[0]?.generation], ['www', 1])
    // In the window that the CA gave: between two and three days from now.
    const inDays = (Date.parse(notDue[0]?.due ?? '') - Date.now()) / dayMs
    assert.ok(inDays > 1.9 && inDays < 3, `in ${inDays} days`)
    assert.ok(early.stdout.includes(`not due before ${notDue[0]?.due.slice(0, 16)}Z`), early.stdout)
    assert.match(early.stdout, /onecert renew www --force/)
    assert.match((await fleet.run('renew', '--dry-run')).stdout, /www: not due before/)
    assert.deepEqual(
      proxy.seen.slice(seen).filter(({ method }) => method === 'POST'),
      [],
    )
    assert.equal((await fleet.run.json<{ entries: unknown[] }>('ledger', '--last', '1000')).entries.length, looked)

    const rehearsed = await fleet.run('renew', 'www', '--force', '--dry-run')
    assert.equal(rehearsed.exit, 0, rehearsed.stderr)
    assert.match(rehearsed.stdout, /lab would be asked for a new certificate, because a renewal was asked for/)
    assert.match(rehearsed.stdout, /lab was not asked; .* www\.lab\.example \(http-01\)/)
    assert.deepEqual(
      proxy.seen.slice(seen).filter(({ method }) => method === 'POST'),
      [],
    )

    await becomeDue(fleet)
    assert.match(
      (await fleet.run('renew', '--dry-run')).stdout,
      /because its CA asks for a renewal now .*\n.* was not asked/,
    )
    assert.equal((await generations(fleet)).length, 1)
    const due = await fleet.run('renew')
    assert.equal(due.exit, 0, due.stderr)
    assert.match(due.stdout, /generation 2 issued, because its CA asks for a renewal now/)
    assert.match(due.stdout, /1 of 1 servers proven with generation 2/)
    window = windowAt(2)
    const again = await fleet.run('renew', '--rekey')
    assert.match(again.stdout, /generation 3 issued, because a new key was asked for/, again.stderr)
    const all = await generations(fleet)
    assert.deepEqual([all[1]?.spki === first.spki, all[2]?.spki === first.spki], [true, false])
    assert.equal(await fleet.server('eu-1').served(), all[2]?.fingerprint)
  })

  test('before its time where runs are a day apart, and not where they are an hour apart; plan is no run', async () => {
    await using fleet = await fleetAtCa()
    const state = () => inStore(fleet, (store) => renewalStates(store).read('www'))
    await apply(fleet)
    await apply(fleet)
    const askedAtMs = (await state())?.askedAtMs ?? 0
    assert.ok(Math.abs(askedAtMs - Date.now()) < 10_000)
    assert.equal((await fleet.run('plan')).exit, 0)
    assert.equal((await fleet.run('renew', '--dry-run')).exit, 0)
    assert.equal((await state())?.askedAtMs, askedAtMs)
    // A window that begins in five hours; its first moment is ours.
    window = windowAt(5 / 24)
    const ran = (hoursAgo: number) =>
      changeState(fleet, (known) => ({
        ...known,
        draw: 0,
        look: null,
        askedAtMs: Date.now() - (hoursAgo * dayMs) / 24,
      }))
    for (const [hoursAgo, said] of [
      [1, /not due before/],
      [24, /generation 2 issued, because its CA asks/],
    ] as const) {
      await ran(hoursAgo)
      const { exit, stdout, stderr } = await fleet.run('renew')
      assert.equal(exit, 0, stderr)
      assert.match(stdout, said)
    }
  })

  test('by hand after a failure: renew waits like apply does and says so; --dry-run too', async () => {
    await using fleet = await fleetAtCa()
    await apply(fleet)
    await becomeDue(fleet)
    proxy.inject({ on: path('/order-plz'), deed: unavailable(3_600) })
    assert.equal((await fleet.run('renew')).exit, 69)
    for (const option of [[], ['--dry-run']]) {
      const { exit, stderr } = await fleet.run('renew', ...option)
      assert.equal(exit, 75, stderr)
      assert.match(stderr, /ISSUE_LATER/)
    }
    assert.equal((await fleet.run('renew', '--force')).exit, 0)
  })

  test('when the CA is up again: until then apply looks after the servers, says why it failed and when it asks next; --force asks at once', async () => {
    await using fleet = await fleetAtCa()
    await apply(fleet)
    await becomeDue(fleet)
    proxy.inject({ on: () => true, times: Number.POSITIVE_INFINITY, deed: unavailable(3_600) })
    const served = await fleet.server('eu-1').served()
    const down = await fleet.run('apply')
    assert.equal(down.exit, 69, down.stderr)
    assert.match(down.stderr, /ACME_UNREACHABLE/)
    assert.match(down.stderr, /503/)
    assert.match(down.stdout, /1 of 1 servers proven with generation 1/)
    assert.equal(await fleet.server('eu-1').served(), served)

    const seen = proxy.seen.length
    const later = await fleet.run('apply')
    assert.equal(later.exit, 75, later.stderr)
    assert.match(later.stderr, /ISSUE_LATER/)
    assert.match(later.stderr, /it failed once, .*ACME_UNREACHABLE/)
    assert.match(later.stdout, /1 of 1 servers proven/)
    assert.deepEqual(
      proxy.seen.slice(seen).filter(({ method }) => method === 'POST'),
      [],
    )

    await proxy.clear()
    proxy.inject({ on: path('/order-plz'), deed: rateLimited(7_200) })
    const notBefore = new Date(Date.now() + 7_200_000).toISOString().slice(0, 15)
    const limited = await fleet.run('issue', 'www', '--force')
    assert.equal(limited.exit, 75, limited.stderr)
    assert.match(limited.stderr, /ACME_RATE_LIMITED/)
    const limitedLater = await fleet.run('apply')
    assert.equal(limitedLater.exit, 75, limitedLater.stderr)
    assert.match(limitedLater.stderr, new RegExp(`ISSUE_LATER.*not asked .* before ${notBefore}`))
    assert.equal((await generations(fleet)).length, 1)

    const { exit, stdout, stderr } = await fleet.run('renew', 'www', '--force')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /generation 2 issued/)
    window = windowAt(2)
    assert.match(await apply(fleet), /1 of 1 servers proven with generation 2/)
  })

  test('by the second issuer, when the first one stays down for long', async () => {
    await using second = await startAcmeProxy(pebble)
    await using fleet = await fleetAtCa((document) => {
      document.issuers.other = { ...document.issuers.lab, acme: second.directoryUrl }
      document.certificates.www.issuer = ['lab', 'other']
    })
    await apply(fleet)
    await becomeDue(fleet)
    proxy.inject({ on: () => true, times: Number.POSITIVE_INFINITY, deed: unavailable(3_600) })
    assert.equal((await fleet.run('apply')).exit, 69)
    assert.equal(second.seen.length, 0)
    await changeState(fleet, (state) => {
      const { lab } = state.attempts
      assert.ok(lab)
      return { ...state, attempts: { lab: { ...lab, failures: 2, firstAttemptMs: Date.now() - 2 * dayMs } } }
    })
    assert.match(await apply(fleet), /generation 2 issued/)
    assert.deepEqual(
      (await generations(fleet)).map(({ issuer }) => issuer),
      ['lab', 'other'],
    )
    // Another CA cannot know the certificate that went before.
    assert.equal('replaces' in Object(second.seen.find(path('/order-plz'))?.payload), false)
  })

  test('with a new key, when the one before was revoked because its key is known to others', async () => {
    await using fleet = await fleetAtCa()
    await apply(fleet)
    const revoked = await fleet.run('revoke', 'www', '--reason', 'keyCompromise')
    assert.equal(revoked.exit, 0, revoked.stderr)
    assert.match(revoked.stdout, /generation 1 .* is revoked at lab/)
    const both = fleet.servers.flatMap(({ name }) => [`${name} revoked`, `${name} revoked`])
    assert.deepEqual(await audited(fleet), both.sort(), 'it is served, and it is current')
    assert.match(await apply(fleet), /generation 2 issued/)
    const [first, second] = await generations(fleet)
    assert.notEqual(second?.spki, first?.spki)
    assert.deepEqual(await audited(fleet), [])
    const orders = ordered()
    await apply(fleet)
    assert.equal(ordered(), orders)
  })

  test('although another certificate cannot be had: the failure is told, and stops nothing', async () => {
    await using fleet = await fleetAtCa((document) => {
      document.certificates = {
        app: { names: ['app.blocked.example'], issuer: 'lab' },
        ...document.certificates,
      }
      document.sites['app.blocked.example'] = { certificate: 'app', dns: ['eu-1'] }
      document.servers['eu-1'].files.app = document.servers['eu-1'].files.www
    })
    const { exit, stdout, stderr } = await fleet.run('apply')
    assert.equal(exit, 65, stderr)
    assert.match(stderr, /ACME_UNSUPPORTED_IDENTIFIER.*app\.blocked\.example/)
    assert.match(stdout, /www: generation 1 issued/)
    assert.equal(await fleet.server('eu-1').served(), (await generations(fleet)).at(-1)?.fingerprint)
  })
})

test('what a CA gives and cannot be used is not stored, and no server is touched; the same order brings the right one', async () => {
  await using fleet = await fleetAtCa()
  const orders = ordered()
  proxy.inject({ on: path('/certZ/'), deed: { kind: 'change', body: () => '<html>captive portal</html>' } })
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 69, stderr)
  assert.match(stderr, /ACME_PROTOCOL/)
  const [server] = fleet.servers
  assert.deepEqual(await generations(fleet), [])
  assert.equal(await server?.served(), server?.original)
  assert.match(await apply(fleet), /generation 1 issued/)
  assert.equal(ordered() - orders, 1)
})

interface Shown {
  readonly url: string
  readonly status: string
  readonly thumbprint: string
  readonly contact: readonly string[]
}

test('the account is shown, gets another key, and is deactivated; then the next certificate comes to a new one', async () => {
  await using fleet = await fleetAtCa()
  const made = await fleet.run.json<Shown>('account', 'lab')
  assert.deepEqual([made.status, made.contact], ['valid', ['mailto:ops@lab.example']])
  const rolled = await fleet.run.json<Shown>('account', 'lab', '--rollover')
  assert.equal(rolled.url, made.url)
  assert.notEqual(rolled.thumbprint, made.thumbprint)
  await apply(fleet)
  const noted = await inStore(fleet, (store) => accounts(store).read('lab'))
  assert.ok(noted)
  const gone = await fleet.run.json<Shown>('account', 'lab', '--deactivate')
  assert.deepEqual([gone.url, gone.status], [made.url, 'deactivated'])

  // As if the run had been killed once the CA had done it.
  await inStore(fleet, (store) => accounts(store).write('lab', noted))
  const refused = await fleet.run('renew', 'www', '--force')
  assert.equal(refused.exit, 77, refused.stderr)
  assert.match(refused.stderr, /ACME_ACCOUNT_DEACTIVATED/)
  const again = await fleet.run.json<Shown>('account', 'lab', '--deactivate')
  assert.deepEqual([again.url, again.status], [made.url, 'deactivated'])

  const { exit, stderr } = await fleet.run('renew', 'www', '--force')
  assert.equal(exit, 0, stderr)
  const next = await fleet.run.json<Shown>('account', 'lab')
  assert.notEqual(next.url, made.url)
  assert.ok(![made.thumbprint, rolled.thumbprint].includes(next.thumbprint))
  assert.equal(await fleet.server('eu-1').served(), (await generations(fleet)).at(-1)?.fingerprint)
})
