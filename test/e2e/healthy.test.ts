import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type RealFleet, type ServerOptions, startFleet } from '../real/fleet.ts'

const servers = 100
/** A busy machine needs some minutes for it. */
const timeout = 600_000

interface Audit {
  readonly findings: readonly { readonly reason: string; readonly severity: string; readonly server: string | null }[]
}

describe(`a fleet of ${servers} servers, in which nothing is wrong`, { timeout }, () => {
  let fleet: RealFleet
  before(start, { timeout })

  async function start(): Promise<void> {
    const kinds = Array.from({ length: servers }, (_, at): [string, ServerOptions] => [
      `server-${at + 1}`,
      { kind: at % 10 === 8 ? 'apache' : at % 10 === 9 ? 'haproxy' : 'nginx' },
    ])
    fleet = await startFleet(Object.fromEntries(kinds))
    await fleet.configure((document) => {
      document.rollout.wave = 20
      document.rollout['confirm-within'] = '60s'
    })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  }
  after(() => fleet?.[Symbol.asyncDispose]())

  const audit = async () => {
    const { exit, stdout, stderr } = await fleet.run('audit', '--json')
    assert.equal(stderr, '')
    const { findings } = JSON.parse(stdout) as Audit
    return { exit, findings }
  }

  test('ten audits find nothing', { timeout }, async () => {
    for (let round = 0; round < 10; round++) assert.deepEqual(await audit(), { exit: 0, findings: [] })
  })

  test('nor do those beside a rollout, but for what it has not come to yet', { timeout }, async () => {
    await fleet.buy()
    let isOver = false
    const applying = fleet.run('apply').finally(() => {
      isOver = true
    })
    let notices = 0
    let rounds = 0
    for (; !isOver && rounds < 50; rounds++) {
      const { exit, findings } = await audit()
      assert.deepEqual(
        findings.filter(({ reason, severity }) => reason !== 'being-changed' || severity !== 'notice'),
        [],
      )
      assert.equal(exit, 0)
      notices += findings.length
    }
    const { exit, stderr } = await applying
    assert.equal(exit, 0, stderr)
    assert.ok(rounds >= 2 && notices > 0, `${rounds} audits beside it, with ${notices} notices`)
    assert.deepEqual(await audit(), { exit: 0, findings: [] })
  })
})
