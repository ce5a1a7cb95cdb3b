import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { processAlive, thisProcess } from '../../src/base/process.ts'

test('this process is alive; one that ended, and one whose id we have now, are not', () => {
  const { pid, started } = thisProcess()
  assert.equal(pid, process.pid)
  assert.equal(processAlive({ pid, started }), true)
  assert.equal(processAlive({ pid: spawnSync('true').pid, started }), false)
  assert.equal(processAlive({ pid, started: `${Number(started) - 1}` }), false)
})

test('a process whose start nobody knows is alive while its id is', () => {
  assert.equal(processAlive({ pid: process.pid, started: '0' }), true)
})
