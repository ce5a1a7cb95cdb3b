import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../../src/base/clock.ts'
import type { AcmeOrder, Authorization } from '../../../src/issue/acme/resources.ts'
import { settledAuthorization, settledOrder } from '../../../src/issue/acme/settled.ts'
import { refusalOf } from '../../base/refusals.ts'

/** A clock whose time passes in sleep() alone. */
function dial(): Clock & { readonly slept: readonly number[] } {
  const slept: number[] = []
  return {
    slept,
    nowMs: () => slept.reduce((sum, ms) => sum + ms, 0),
    sleep: async (durationMs, signal) => {
      signal?.throwIfAborted()
      slept.push(durationMs)
    },
  }
}

const waitingBy = (clock: Clock, signal = new AbortController().signal) => ({
  issuer: 'ca',
  clock,
  signal,
  withinMs: 60_000,
})

function answering(...answers: readonly (readonly [AcmeOrder['status'], number | null])[]) {
  let asked = 0
  const order = async (url: string): Promise<AcmeOrder> => {
    const [status, retryAfterMs] = answers[Math.min(asked++, answers.length - 1)] ?? ['pending', null]
    const rest = { expiresAtMs: null, authorizations: [], finalize: '', certificate: null, problem: null }
    return { ...rest, url, status, names: ['a.example'], retryAfterMs }
  }
  return { order, asked: () => asked }
}

test('an order is asked for when the CA says, and not after its end', async () => {
  const clock = dial()
  const ca = answering(['pending', 3_000], ['processing', 7_000], ['valid', 1_000])
  assert.equal((await settledOrder(ca, 'https://ca.example/o', waitingBy(clock))).status, 'valid')
  assert.deepEqual(clock.slept, [3_000, 7_000])
})

for (const status of ['ready', 'valid', 'invalid'] as const) {
  test(`an order that is ${status} is not waited for`, async () => {
    const clock = dial()
    assert.equal((await settledOrder(answering([status, 5_000]), '', waitingBy(clock))).status, status)
    assert.deepEqual(clock.slept, [])
  })
}

test('where the CA does not say when, the pauses grow; where it says 0, there is one all the same', async () => {
  const clock = dial()
  const ca = answering(['pending', null], ['pending', null], ['pending', null], ['pending', null], ['ready', null])
  await settledOrder(ca, '', waitingBy(clock))
  for (const [at, ms] of clock.slept.entries()) assert.ok(ms >= 125 * 2 ** at && ms <= 250 * 2 ** at, `${at}: ${ms}`)
  const eager = dial()
  await settledOrder(answering(['pending', 0], ['ready', null]), '', waitingBy(eager))
  assert.ok((eager.slept[0] ?? 0) >= 100)
})

test('an order that does not end is given up within the limit, and one that asks for more at once', async () => {
  const clock = dial()
  const error = await refusalOf(() => settledOrder(answering(['processing', 9_000]), '', waitingBy(clock)))
  assert.equal(error.code, 'ACME_UNDECIDED')
  assert.match(error.failure.what, /the order for a\.example/)
  assert.equal(error.failure.fact, 'its status is processing after 54 s; the limit is 60 s')
  const patient = answering(['processing', 3_600_000])
  assert.equal((await refusalOf(() => settledOrder(patient, '', waitingBy(dial())))).code, 'ACME_UNDECIDED')
  assert.equal(patient.asked(), 1)
})

test('an authorization is waited for until the CA has looked', async () => {
  const statuses: Authorization['status'][] = ['pending', 'pending', 'invalid']
  const client = {
    authorization: async (url: string): Promise<Authorization> => {
      const status = statuses.shift() ?? 'valid'
      return { url, status, name: 'a.example', wildcard: false, challenges: [], retryAfterMs: 1_000 }
    },
  }
  const clock = dial()
  assert.equal((await settledAuthorization(client, '', waitingBy(clock))).status, 'invalid')
  assert.deepEqual(clock.slept, [1_000, 1_000])
})

test('a wait ends with the reason of the signal', async () => {
  const stop = new AbortController()
  stop.abort(new Error('Ctrl-C'))
  const wait = settledOrder(answering(['pending', 1_000]), '', waitingBy(dial(), stop.signal))
  await assert.rejects(wait, /Ctrl-C/)
})
