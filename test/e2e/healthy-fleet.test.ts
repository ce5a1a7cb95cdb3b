import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { watchMemory } from '../memory.ts'
import { type FleetDocument, type RealFleet, startFleet } from '../real/fleet.ts'

interface AuditJson {
  readonly findings: readonly { readonly reason: string; readonly severity: string; readonly server: string | null }[]
  readonly looked: { readonly endpoints: number; readonly disks: number }
}

const count = 100
/** An ssh for each look is most of what it costs a machine that is all of them: the others are on this machine, as they are. */
const bySsh = 10
const timeout = 400_000
/** Beside what a few servers take, which is the runtime. Measured: 0.4 MB. */
const bytesEachMax = 1_048_576

describe(`${count} servers, each with an sshd and an nginx of its own`, () => {
  let fleet: RealFleet
  before(
    async () => {
      const names = Array.from({ length: count }, (_, at) => `server-${String(at + 1).padStart(3, '0')}`)
      fleet = await startFleet(Object.fromEntries(names.map((name) => [name, 'nginx'])))
      await fleet.configure(asOneFleet)
      await apply()
    },
    { timeout },
  )
  after(() => fleet?.[Symbol.asyncDispose](), { timeout })

  /** A canary, and four waves behind it; nobody looks through the folders of this machine a hundred times. */
  function asOneFleet(document: FleetDocument): void {
    document.rollout = { canary: 1, wave: '25%', 'confirm-within': '60s' }
    for (const [at, name] of Object.keys(document.servers).entries()) {
      const { ssh, 'host-key': hostKey, ...server } = document.servers[name]
      const reach = at < bySsh ? { ssh, 'host-key': hostKey } : { local: true }
      document.servers[name] = { ...server, ...reach, 'key-folders': [join(fleet.directory, name)] }
    }
  }

  async function apply(): Promise<void> {
    const { exit, stderr } = await fleet.run('apply', '--parallel', '16')
    assert.equal(exit, 0, stderr)
  }

  async function audit(...words: readonly string[]) {
    const { child, ended } = fleet.run.start('audit', '--json', ...words)
    const peakBytes = watchMemory(child)
    const { exit, stdout, stderr } = await ended
    assert.notEqual(stdout, '', stderr)
    return { ...(JSON.parse(stdout) as AuditJson), exit, bytes: peakBytes() }
  }

  test('ten audits one after the other find nothing, in bounded memory', { timeout }, async () => {
    const few = fleet.servers.slice(0, 4).map(({ name }) => name)
    const { bytes: least } = await audit('--server', ...few)
    for (let round = 0; round < 10; round++) {
      const { findings, looked, exit, bytes } = await audit()
      assert.deepEqual(findings, [])
      assert.deepEqual([exit, looked.endpoints, looked.disks], [0, count, count])
      assert.ok(bytes - least < count * bytesEachMax, `${least} bytes for a few, ${bytes} for all`)
    }
  })

  test('audits beside a rollout of a new key find nothing but what it has not come to yet', { timeout }, async () => {
    await fleet.buy()
    let done = false
    const applied = apply().finally(() => {
      done = true
    })
    let passing = 0
    let looks = 0
    for (; !done; looks++) {
      const { findings, exit } = await audit()
      assert.deepEqual(
        findings.filter(({ reason }) => reason !== 'being-changed'),
        [],
      )
      assert.equal(exit, 0)
      passing += findings.length
    }
    await applied
    assert.ok(looks > 1 && passing > 0, `${looks} audits, ${passing} notices`)
    assert.deepEqual((await audit()).findings, [])
  })
})
