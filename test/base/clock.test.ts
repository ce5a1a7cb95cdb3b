import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'

test('the clock of the system is the clock of the system', () => {
  const before = Date.now()
  const now = systemClock.nowMs()
  assert.ok(before <= now && now <= Date.now())
})

test('a sleep that is aborted rejects with the reason, at once, and keeps nothing running', {
  timeout: 5_000,
}, async () => {
  const reason = new Error('enough')
  const abort = new AbortController()
  const sleeping = systemClock.sleep(3_600_000, abort.signal)
  abort.abort(reason)
  await assert.rejects(sleeping, reason)
  await assert.rejects(systemClock.sleep(3_600_000, abort.signal), reason)
})

test('a sleep that ends leaves no listener on its signal', async () => {
  const { signal } = new AbortController()
  await systemClock.sleep(1, signal)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})
