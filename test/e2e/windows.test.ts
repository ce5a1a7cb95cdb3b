import assert from 'node:assert/strict'
import { test } from 'node:test'
import { siteName, startFleet } from '../real/fleet.ts'

interface PlanJson {
  readonly certificates: readonly {
    readonly waves: readonly (readonly { readonly server: string; readonly override?: string }[])[]
    readonly waitingForWindow: readonly { readonly server: string; readonly opensAt: string }[]
  }[]
}

interface StatusJson {
  readonly endpoints: readonly { readonly server: string; readonly verdict: string }[]
}

const dayMs = 86_400_000

/** One that opens in twelve hours, for an hour. */
function closedWindow() {
  const opens = new Date(Date.now() + dayMs / 2)
  return { cron: `${opens.getUTCMinutes()} ${opens.getUTCHours()} * * *`, for: '1h' }
}

test('a server whose window is closed waits; the rest goes on; nothing failed, and not all is done', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'us-2': 'nginx' })
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  const renewed = await fleet.buy()
  const closed = closedWindow()
  const windows = (changed: { readonly twice?: boolean } = {}) =>
    fleet.configure((document) => {
      document.servers['eu-1'].window = closed
      for (const name of ['us-1', 'us-2']) document.servers[name].location = 'ashburn'
      document.servers['us-2'].window = { cron: '* * * * *', for: '1h', 'time-zone': 'America/New_York' }
      document.locations = { ashburn: { window: changed.twice ? [closed, { cron: '0 * * * *', for: '1h' }] : closed } }
    })
  await windows()

  const opens = /waits for its window, opens \d{4}-\d\d-\d\dT\d\d:\d\d\+00:00/
  const planned = await fleet.run('plan')
  assert.equal(planned.exit, 0, planned.stderr)
  for (const name of ['eu-1', 'us-1']) assert.match(planned.stdout, new RegExp(`${name} .*; ${opens.source}`))
  assert.match(planned.stdout, /1 of 3 servers will be changed/)
  const { certificates } = await fleet.run.json<PlanJson>('plan')
  assert.deepEqual(
    certificates[0]?.waves.flat().map(({ server }) => server),
    ['us-2'],
  )
  const [waiting] = certificates[0]?.waitingForWindow ?? []
  const awayMs = Date.parse(waiting?.opensAt ?? '') - Date.now()
  assert.ok(awayMs > dayMs / 2 - 120_000 && awayMs <= dayMs / 2, waiting?.opensAt)

  const logins = async (name: string) => (await fleet.server(name).sshd.output()).split('Accepted').length
  const before = await logins('eu-1')
  const applied = await fleet.run('apply')
  assert.equal(applied.exit, 75)
  assert.match(applied.stderr, /WINDOW_CLOSED/)
  assert.match(applied.stderr, /2 servers wait for their maintenance windows/)
  assert.match(applied.stdout, /1 of 3 servers proven/)
  assert.match(applied.stdout, new RegExp(`eu-1 ${opens.source}`))
  assert.equal(await fleet.server('us-2').served(), renewed.fingerprint)
  for (const name of ['eu-1', 'us-1']) assert.equal(await fleet.server(name).served(), first.fingerprint)
  assert.equal(await logins('eu-1'), before, 'nobody logged in there')

  const status = await fleet.run('status')
  assert.equal(status.exit, 0, 'what waits is as it is meant to be')
  assert.match(status.stdout, new RegExp(`us-1 .*waits +${opens.source}`))
  assert.match(status.stdout, /1 of 3 endpoints proven, 2 waiting for a window/)
  const audit = await fleet.run('audit')
  assert.equal(audit.exit, 0, audit.stdout)
  assert.match(audit.stdout, /^notice +2 servers +waits-for-window$/m)
  assert.match(audit.stdout, /or now: onecert apply www --server eu-1 us-1 --now "the reason"$/m)
  assert.match(audit.stdout, /^nothing wrong, 2 notices: looked at 3 endpoints/m)

  // A second window of the location is open now; a person has a reason for the other server.
  await windows({ twice: true })
  assert.equal((await fleet.run('apply')).exit, 75)
  assert.equal(await fleet.server('us-1').served(), renewed.fingerprint)
  assert.equal(await fleet.server('eu-1').served(), first.fingerprint)
  for (const bad of ['', '   ', 'two\nlines', 'x'.repeat(201)])
    assert.equal((await fleet.run('apply', '--now', bad)).exit, 64)
  const now = await fleet.run('apply', '--now', 'the key was lost')
  assert.equal(now.exit, 0, now.stderr)
  assert.match(now.stderr, /the maintenance window of eu-1 is closed; it is changed now: the key was lost/)
  assert.equal(await fleet.server('eu-1').served(), renewed.fingerprint)
  assert.match((await fleet.run('ledger')).stdout, /override.*eu-1.*the key was lost/)
  const { endpoints } = await fleet.run.json<StatusJson>('status')
  assert.deepEqual(
    endpoints.map(({ verdict }) => verdict),
    ['proven', 'proven', 'proven'],
  )
})

test('what a server serves expires before its next window is over: it is changed now, with a notice and a record', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  const first = await fleet.buy({ toDay: 1 })
  assert.equal((await fleet.run('apply')).exit, 0)
  const renewed = await fleet.buy()
  await fleet.configure((document) => {
    document.servers['eu-1'].window = closedWindow()
  })
  const { certificates } = await fleet.run.json<PlanJson>('plan')
  assert.match(
    certificates[0]?.waves[0]?.[0]?.override ?? '',
    /what it serves expires .*, too early for its next window/,
  )
  assert.equal(await fleet.server('eu-1').served(), first.fingerprint)
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stderr, /note: the maintenance window of eu-1 is closed; it is changed now: what it serves expires/)
  assert.equal(await fleet.server('eu-1').served(), renewed.fingerprint)
  assert.match((await fleet.run('ledger')).stdout, /override.*eu-1.*too early for its next window/)
})

test('a closed server that only a connection can look at: what was seen last decides, and a mere look is nothing to wait for', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const configure = (windowed: boolean) =>
    fleet.configure((document) => {
      document.servers['eu-1'].probe = 'through-server'
      if (windowed) document.servers['eu-1'].window = closedWindow()
    })
  await configure(false)
  const first = await fleet.buy({ toDay: 1 })
  assert.equal((await fleet.run('apply')).exit, 0)
  const second = await fleet.buy({ toDay: 80 })
  await configure(true)
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stderr, /what it serves expires/, `${first.fingerprint} was seen there by the rollout before`)
  assert.equal(await fleet.server('eu-1').served(), second.fingerprint)

  const look = await fleet.run('apply')
  assert.equal(look.exit, 0, look.stderr)
  assert.match(look.stdout, /eu-1 waits for its window/)
  await fleet.buy()
  const waiting = await fleet.run('apply')
  assert.equal(waiting.exit, 75)
  assert.match(waiting.stderr, /WINDOW_CLOSED/)
  assert.equal(await fleet.server('eu-1').served(), second.fingerprint)
  assert.match((await fleet.run('status')).stdout, /waits for its window/)
})

test('a closed server that is added is not published, and it is said that it waits', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  const sold = await fleet.buy()
  await fleet.configure((document) => {
    document.sites[siteName].dns = ['eu-1']
    document.servers['us-1'].window = closedWindow()
  })
  const { exit, stderr } = await fleet.run('server', 'add', 'us-1', '--site', siteName)
  assert.equal(exit, 75)
  assert.match(stderr, /WINDOW_CLOSED: us-1 waits for its maintenance window, which opens 20/)
  assert.match(stderr, /us-1 was not published in the DNS/)
  assert.match(stderr, /onecert apply --server us-1 --now/)
  assert.notEqual(await fleet.server('us-1').served(), sold.fingerprint)
  assert.equal((await fleet.run('apply', '--server', 'us-1', '--now', 'it is new')).exit, 0)
  const again = await fleet.run('server', 'add', 'us-1', '--site', siteName)
  assert.equal(again.exit, 0, again.stderr)
})
