import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requirePackages } from '../../src/lab/packages.ts'
import { count, mended, summary } from '../../src/lab/product.ts'
import { startRealLab } from '../../src/lab/real.ts'
import { demo, inLab, lastLine } from './demo.ts'

test('the real demo ends with everything proven and the drift repaired, and leaves nothing', async () => {
  const { exit, stdout, stderr, leftFiles, leftProcesses } = await demo(['--real', '--once'])
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /eu-1 \(ssh \S+@127\.7\.0\.11\): chain and private key travel/)
  for (const member of ['web-1', 'web-2', 'web-3'])
    assert.match(stderr, new RegExp(`${member} {2}proven .* key sent, drained$`, 'm'))
  assert.match(stderr, /edge {2}proven .* key sent, no reload$/m)
  assert.match(stdout, /answered by edge → upstream-1/)
  assert.match(stdout, /us-1 .* drift +serves/)
  assert.equal(stdout.trimEnd().split('\n').at(-1), lastLine)
  assert.deepEqual({ leftFiles, leftProcesses }, { leftFiles: [], leftProcesses: [] })
})

test('Ctrl-C, to all as a terminal sends it, in the middle of a rollout brings it to its end and leaves nothing', async () => {
  const { exit, stdout, stderr, leftFiles, leftProcesses } = await demo(['--real', '--once'], {
    interrupt: { at: /wave 2 of 3: us-1/, group: true },
  })
  assert.equal(exit, 130, stderr)
  assert.doesNotMatch(stdout, /^demo:/m)
  // Told once: a second time would have meant that it leaves at once, and servers undo what was not confirmed.
  assert.equal(stderr.match(/^stopping: /gm)?.length, 1)
  assert.match(stderr, /not begun: web-2, web-3, edge/)
  assert.deepEqual({ leftFiles, leftProcesses }, { leftFiles: [], leftProcesses: [] })
})

test('the counts are counted: a server that is down is not proven, and is when it is back', async () => {
  const { left, processes } = await inLab(startRealLab, async ({ servers }, product) => {
    const edge = servers.find(({ name }) => name === 'edge')
    assert.ok(edge)
    await edge.stop()
    await product(['init'])
    assert.notEqual((await product(['apply'])).exit, 0)
    const down = await count(product)
    assert.equal(summary(down, 0), 'demo: 6 of 7 servers proven, 6 key copies, 0 drift found and repaired')
    await edge.start()
    assert.equal((await product(['apply'])).exit, 0)
    const up = await count(product)
    assert.equal(summary(up, mended(down, up)), 'demo: 7 of 7 servers proven, 7 key copies, 0 drift found and repaired')
  })
  assert.deepEqual({ left, processes }, { left: false, processes: [] })
})

test('missing software is named, with the command that installs it', () => {
  assert.throws(
    () => requirePackages((program) => !/haproxy|ssh/.test(program)),
    /\/usr\/sbin\/haproxy .*apt-get install --no-install-recommends haproxy openssh-server openssh-client$/s,
  )
  requirePackages()
})
