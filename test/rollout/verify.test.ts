import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../src/base/clock.ts'
import { OnecertError } from '../../src/base/errors.ts'
import { endpointText } from '../../src/observe/endpoint.ts'
import type { Look } from '../../src/rollout/prober.ts'
import { verify, verifyLimits } from '../../src/rollout/verify.ts'

const endpoint = { address: '192.0.2.11', port: 443, name: 'www.lab.example' }
const generation = { chain: ['new', 'intermediate'] }

/** Time passes only where somebody sleeps. */
function stillClock(): Clock & { readonly elapsedMs: () => number } {
  let nowMs = 1_000_000
  return {
    nowMs: () => nowMs,
    sleep: async (durationMs: number) => {
      nowMs += durationMs
    },
    elapsedMs: () => nowMs - 1_000_000,
  }
}

/** Answers in turn; the last one for ever. */
function serving(...answers: readonly (readonly string[] | Error)[]): Look & { readonly looks: () => number } {
  let looks = 0
  const look: Look = async () => {
    const answer = answers[Math.min(looks, answers.length - 1)] ?? []
    looks += 1
    if (answer instanceof Error) throw answer
    return { served: { chain: [...answer], notAfterMs: 0, subject: '', spki: '', certificates: [] }, vantage: 'direct' }
  }
  return Object.assign(look, { looks: () => looks })
}

const right = ['new', 'intermediate']
const old = ['old', 'intermediate']

test('five right handshakes in a row, spread over more than an old worker of nginx lives', async () => {
  const clock = stillClock()
  const look = serving(right)
  assert.equal(await verify([endpoint], generation, look, clock, verifyLimits), 'direct')
  assert.equal(look.looks(), 5)
  assert.ok(clock.elapsedMs() > 105, `${clock.elapsedMs()} ms`)
})

test('an old worker that answers in between starts the count anew', async () => {
  const look = serving(right, right, old, right, right, right, right, old, right)
  await verify([endpoint], generation, look, stillClock(), verifyLimits)
  assert.equal(look.looks(), 8 + 5)
})

test('what is seen at the deadline says what is wrong', async () => {
  for (const [answer, code] of [
    [old, 'VERIFY_OLD_CERTIFICATE'],
    [['strange'], 'VERIFY_WRONG_CERTIFICATE'],
    [['new'], 'VERIFY_WRONG_CHAIN'],
    [new OnecertError('PROBE_REFUSED', { what: 'nobody there' }), 'VERIFY_UNREACHABLE'],
  ] as const) {
    const clock = stillClock()
    const before = new Map([[endpointText(endpoint), 'old']])
    await assert.rejects(
      verify([endpoint], generation, serving(answer), clock, verifyLimits, before),
      (error) => error instanceof OnecertError && error.code === code,
      code,
    )
    assert.ok(clock.elapsedMs() >= verifyLimits.withinMs && clock.elapsedMs() < verifyLimits.withinMs + 1_000)
  }
})

test('the weakest vantage of all endpoints is the one that is told', async () => {
  const vantages = { a: 'direct', b: 'on-server', c: 'forwarded' } as const
  const look: Look = async ({ name }) => ({
    served: { chain: right, notAfterMs: 0, subject: '', spki: '', certificates: [] },
    vantage: vantages[name as keyof typeof vantages],
  })
  const at = (...names: string[]) => names.map((name) => ({ ...endpoint, name }))
  const seen = (...names: string[]) => verify(at(...names), generation, look, stillClock(), verifyLimits)
  assert.equal(await seen('a'), 'direct')
  assert.equal(await seen('a', 'c'), 'forwarded')
  assert.equal(await seen('a', 'b', 'c'), 'on-server')
})
