import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Sold } from '../authority.ts'
import type { Ended } from '../onecert.ts'
import { siteName } from '../real/fleet.ts'
import { type RoundRobin, startRoundRobin } from '../real/round-robin.ts'

let lab: RoundRobin
let sold: Sold

before(async () => {
  lab = await startRoundRobin()
})
after(() => lab[Symbol.asyncDispose]())

const two = () => lab.addresses('eu-1', 'us-1')
const all = () => lab.addresses('eu-1', 'us-1', 'ap-1')

/** Runs it until it says something, kills it -9 there, and runs it again, to the end. */
async function killedAt(line: RegExp, ...words: string[]): Promise<Ended> {
  const { child, ended } = lab.fleet.run.start(...words)
  child.stderr?.on('data', (text: string) => {
    if (line.test(text)) child.kill('SIGKILL')
  })
  const { stderr } = await ended
  assert.equal(child.signalCode, 'SIGKILL', stderr)
  return lab.fleet.run(...words)
}

const addWords = ['server', 'add', 'ap-1', '--site', siteName]
const removeWords = ['server', 'remove', 'ap-1', '--yes']

for (const [added, removed] of [
  [/written to/, /is out of/],
  [/wave 1 of 1/, /may remember/],
  [/at the primary/, /no file with a key/],
] as const) {
  test(`killed -9 at "${added.source}" and at "${removed.source}", the same command goes on to the same end`, async () => {
    sold = await lab.twoServers()
    const up = await killedAt(added, ...addWords)
    assert.equal(up.exit, 0, up.stderr)
    assert.equal(await lab.ap1.served(), sold.fingerprint)
    assert.deepEqual(await lab.zone.addresses(siteName), all())
    const from = (await lab.record()).at(-1)?.seq ?? 0

    const down = await killedAt(removed, ...removeWords)
    assert.equal(down.exit, 0, down.stderr)
    assert.deepEqual(await lab.zone.addresses(siteName), two())
    assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
    assert.deepEqual(await lab.copiesOn('ap-1', sold), [])
    assert.deepEqual((await lab.written()).sites[siteName].dns, ['eu-1', 'us-1'])
    const entries = (await lab.record()).filter(({ seq }) => seq > from)
    const withdrawn = entries.find(({ effect, phase }) => effect === 'withdraw' && phase === 'outcome')
    const purged = entries.find(({ effect }) => effect === 'purge')
    assert.ok(withdrawn && purged && purged.atMs - withdrawn.atMs >= 3_000)
  })
}
