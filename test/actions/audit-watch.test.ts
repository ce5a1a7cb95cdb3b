import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Audit } from '../../src/actions/audit.ts'
import { auditRounds, pauseMs, type Round, type Rounds } from '../../src/actions/audit-watch.ts'
import { OnecertError } from '../../src/base/errors.ts'

const right: Audit = {
  findings: [],
  subjects: [],
  looked: { certificates: 1, endpoints: 1, handshakes: 5, disks: 1, upstreams: 0 },
}

/** Rounds against a clock that only goes on when it is waited for, until `roundsMax` were asked for. */
async function rounds(
  roundsMax: number,
  look: (round: number, spend: (ms: number) => void) => Promise<Audit>,
  after: (round: number) => 'again' | 'pause' = () => 'pause',
) {
  const stop = new AbortController()
  const told = { begun: [] as number[], rounds: [] as Round[], failed: [] as string[], atOnce: 0 }
  let [nowMs, running] = [0, 0]
  const given: Rounds = {
    everyMs: 60_000,
    random: () => 0.5,
    clock: {
      nowMs: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms
      },
    },
    async look() {
      told.begun.push(nowMs)
      told.atOnce = Math.max(told.atOnce, ++running)
      if (told.begun.length === roundsMax) stop.abort(new OnecertError('INTERRUPTED', { what: 'interrupted' }))
      try {
        return await look(told.begun.length, (ms) => {
          nowMs += ms
        })
      } finally {
        running -= 1
      }
    },
    async onRound(round) {
      told.rounds.push(round)
      return after(told.rounds.length)
    },
    onFailed: (error) => told.failed.push(error.failure.what),
  }
  await auditRounds(given, stop.signal)
  return told
}

test('a round each minute, whatever a round takes; one that takes longer is not overlapped, and servers rest', async () => {
  const { begun, atOnce } = await rounds(4, async (round, spend) => {
    spend(round === 2 ? 90_000 : 5_000)
    return right
  })
  assert.deepEqual(begun, [0, 60_000, 156_000, 216_000])
  assert.equal(atOnce, 1)
})

test('a round that fails is told, and the next one comes', async () => {
  const told = await rounds(4, async (round) => {
    if (round === 2) throw new OnecertError('STATE_BUSY', { what: 'the state is busy' })
    if (round === 3) throw new TypeError('a defect')
    return right
  })
  assert.deepEqual(told.failed, ['the state is busy', 'a defect in onecert'])
  assert.equal(told.rounds.length, 2)
})

test('what is wrong with the command or the fleet file ends the first round, and no later one', async () => {
  const wrong = async () => {
    throw new OnecertError('CONFIG_SYNTAX', { what: 'no YAML' })
  }
  await assert.rejects(rounds(3, wrong), { code: 'CONFIG_SYNTAX' })
  const later = await rounds(4, (round) => (round === 1 ? Promise.resolve(right) : wrong()))
  assert.deepEqual(later.failed.length, 2)
})

test('where something was done about it, the next look is at once', async () => {
  const { begun } = await rounds(
    3,
    async () => right,
    (round) => (round === 1 ? 'again' : 'pause'),
  )
  assert.deepEqual(begun, [0, 0, 60_000])
})

test('watchers that were started together come apart, by a tenth at most', () => {
  assert.deepEqual(
    [0, 0.5, 1].map((random) => Math.round(pauseMs(60_000, 10_000, random))),
    [44_000, 50_000, 56_000],
  )
  assert.equal(pauseMs(60_000, 300_000, 0), 6_000)
})
