import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { assemble, startLab } from '../../src/lab/lab.ts'
import { count, mended, summary } from '../../src/lab/product.ts'
import { demo, inLab, lastLine, processesOf } from './demo.ts'

test('the demo ends with everything proven and the drift repaired, and leaves nothing', async () => {
  const { exit, stdout, stderr, leftFiles, leftProcesses } = await demo(['--once'])
  assert.equal(exit, 0, stderr)
  assert.equal(stdout.trimEnd().split('\n').at(-1), lastLine)
  assert.deepEqual({ leftFiles, leftProcesses }, { leftFiles: [], leftProcesses: [] })
})

test('the demo names the words that it takes where it is given another one', async () => {
  const { exit, stderr } = await demo(['--onec'])
  assert.equal(exit, 64)
  assert.match(stderr, /^error: Unknown option '--onec'.*\n {2}next: {2}npm run demo -- --once, or --real\n$/)
})

test('SIGINT to the demo alone in the middle of a rollout brings it to its end and leaves nothing', async () => {
  const { exit, stdout, stderr, leftFiles, leftProcesses } = await demo(['--once'], {
    interrupt: { at: /wave 2 of 3: us-1/, group: false },
  })
  assert.equal(exit, 130, stderr)
  assert.doesNotMatch(stdout, /^demo:/m)
  // Told once: a second time would have meant that it leaves at once, and servers undo what was not confirmed.
  assert.equal(stderr.match(/^stopping: /gm)?.length, 1)
  assert.match(stderr, /not begun: web-2, web-3, edge/)
  assert.deepEqual({ leftFiles, leftProcesses }, { leftFiles: [], leftProcesses: [] })
})

test('without --once it stays up, says what to try, and Ctrl-C takes it away', async () => {
  const { exit, stdout, stderr, leftFiles, leftProcesses } = await demo([], {
    interrupt: { at: /Ctrl-C ends it/, group: true },
  })
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /bin\/onecert --fleet \S+ --state \S+ status/)
  assert.match(stdout, /curl -sk --resolve shop\.lab\.example/)
  assert.match(stdout, /openssl s_client -connect/)
  assert.equal(stdout.trimEnd().split('\n').at(-1), lastLine)
  assert.deepEqual({ leftFiles, leftProcesses }, { leftFiles: [], leftProcesses: [] })
})

test('the counts are counted: a server that is down is not proven, and is when it is back', async () => {
  const { left, processes } = await inLab(startLab, async ({ servers }, product) => {
    const edge = servers.find(({ name }) => name === 'edge')
    assert.ok(edge)
    await edge.stop()
    await product(['init'])
    assert.notEqual((await product(['apply'])).exit, 0)
    const down = await count(product)
    assert.match(summary(down, 0), /^demo: 6 of 7 servers proven, \d key copies, 0 drift found and repaired$/)
    await edge.start()
    assert.equal((await product(['apply'])).exit, 0)
    const up = await count(product)
    assert.equal(summary(up, mended(down, up)), 'demo: 7 of 7 servers proven, 7 key copies, 0 drift found and repaired')
  })
  assert.deepEqual({ left, processes }, { left: false, processes: [] })
})

test('two labs at once have ports of their own', async () => {
  await inLab(startLab, async (one) => {
    await inLab(startLab, async (other) => {
      assert.notEqual(one.balancer.port, other.balancer.port)
    })
  })
})

test('a lab that cannot start says why and leaves nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-lab-'))
  let stopped = 0
  const start = assemble(directory, async ({ servers }) => ({
    servers: servers.map((spot) => ({
      ...spot,
      async start() {},
      async stop() {
        stopped += 1
      },
      async breakCertificate() {},
    })),
    entry: () => [],
    startOthers: () => Promise.reject(new Error('no balancer today')),
  }))
  await assert.rejects(start, /no balancer today/)
  assert.equal(stopped, 7)
  assert.equal(existsSync(directory), false)
  assert.deepEqual(await processesOf(directory), [])
})
