import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { test } from 'node:test'
import { holderAlive, holderText, thisHolder } from '../../src/store/holder.ts'

test('this process is alive, and always the same holder', () => {
  assert.equal(thisHolder(), thisHolder())
  assert.ok(thisHolder().startsWith(`${hostname()}:${process.pid}:`))
  assert.equal(holderAlive(thisHolder()), true)
})

test('another process is alive until it was killed', async () => {
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  const { stdout } = spawnSync('sh', ['-c', `sed 's/.*) //' /proc/${child.pid}/stat | cut -d ' ' -f 20`])
  const holder = `${hostname()}:${child.pid}:${stdout.toString().trim()}`
  assert.equal(holderAlive(holder), true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(holderAlive(holder), false)
})

test('an id that was given to another process since does not stand for the one that ended', () => {
  const [machine, pid, started] = thisHolder().split(':')
  assert.equal(holderAlive(`${machine}:${pid}:${Number(started) - 1}`), false)
  assert.equal(holderAlive(`${machine}:${pid}:0`), true)
})

test('a process on another machine may be alive for all that we know', () => {
  assert.equal(holderAlive(`other.${hostname()}:${process.pid}:1`), true)
})

test('a person reads which process on which machine it is', () => {
  assert.equal(holderText('db-1:4711:99'), 'process 4711 on db-1')
})
