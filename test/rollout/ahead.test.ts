import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OnecertError } from '../../src/base/errors.ts'
import type { Server } from '../../src/fleet/fleet.ts'
import type { Connection, OpenOptions, Reach } from '../../src/reach/connection.ts'
import { openAhead } from '../../src/rollout/ahead.ts'

const server = (name: string) => ({ name }) as Server
const options = (carriesKey: boolean): OpenOptions => ({
  receiver: { text: '', id: '' },
  carriesKey,
  timeoutMs: 1_000,
})

/** Counts connections; `down` cannot be reached. */
function counting() {
  const opened: string[] = []
  const closed: string[] = []
  const reach: Reach = {
    async open({ name }, { carriesKey }) {
      const way = `${name}${carriesKey ? ' for a key' : ''}`
      opened.push(way)
      if (name === 'down') throw new OnecertError('SSH_REFUSED', { what: 'down' })
      return { way, close: async () => void closed.push(way) } as Connection
    },
  }
  return { opened, closed, ahead: openAhead(() => reach) }
}

describe('connections that are opened before their turn', () => {
  test('are taken once, and not opened twice', async () => {
    const { opened, closed, ahead } = counting()
    ahead.prepare(server('a'), options(false))
    ahead.prepare(server('a'), options(false))
    assert.equal((await ahead.open(server('a'), options(false))).way, 'a')
    assert.deepEqual(opened, ['a'])
    await ahead.open(server('a'), options(false))
    await ahead.close()
    assert.deepEqual([opened, closed], [['a', 'a'], []])
  })

  test('that are not fit for a key never carry one', async () => {
    const { closed, ahead } = counting()
    ahead.prepare(server('a'), options(false))
    assert.equal((await ahead.open(server('a'), options(true))).way, 'a for a key')
    assert.deepEqual(closed, ['a'])
  })

  test('that nobody took are closed at the end', async () => {
    const { closed, ahead } = counting()
    for (const name of ['a', 'b', 'down']) ahead.prepare(server(name), options(false))
    await ahead.open(server('a'), options(false))
    await ahead.close()
    assert.deepEqual(closed, ['b'])
  })

  test('that failed tell it to who opens them, once', async () => {
    const { opened, ahead } = counting()
    ahead.prepare(server('down'), options(false))
    await assert.rejects(ahead.open(server('down'), options(false)), { code: 'SSH_REFUSED' })
    assert.deepEqual(opened, ['down'])
  })
})
