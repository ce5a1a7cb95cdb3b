import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { test } from 'node:test'
import type { Server } from '../../src/fleet/fleet.ts'
import { localReach } from '../../src/reach/local.ts'
import { receiverText } from '../../src/reach/receiver.ts'
import { scratch } from '../base/scratch.ts'

const timeoutMs = 10_000

test('who asks while another one waits gets an answer of its own, in turn', async () => {
  await using place = await scratch()
  const webroot = place.file('webroot')
  await mkdir(webroot)
  const receiver = receiverText({
    directory: place.file('onecert'),
    test: [],
    reload: [],
    start: [],
    keyFolders: [],
    kind: 'command',
    dumps: {},
    includes: {},
    includeNamed: false,
    lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600', webroot }],
  })
  const connection = await localReach.open({ name: 'here' } as Server, { receiver, carriesKey: false, timeoutMs })
  try {
    const tokens = Array.from({ length: 20 }, (_, at) => `token-${at}`)
    const answers = await Promise.all(tokens.map((token) => connection.request('answer', ['www', token, 'text'])))
    assert.deepEqual(
      answers.map(({ facts }) => facts.get('path')?.split('/').at(-1)),
      tokens,
    )
    // A failure of one is no failure of those behind it.
    const [refused, taken] = await Promise.all([
      connection.request('answer', ['nowhere', 'token', 'text']),
      connection.request('unanswer', ['www', 'token-0']),
    ])
    assert.deepEqual([refused.ok, taken.ok], [false, true])
    await assert.rejects(connection.request('answer', ['www', 'not a word', 'text']), { code: 'INTERNAL' })
    assert.ok((await connection.request('unanswer', ['www', 'token-1'])).ok)
  } finally {
    await connection.close()
  }
})
