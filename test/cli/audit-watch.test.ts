import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changeOf } from '../../src/audit/change.ts'
import { tellLines } from '../../src/cli/audit/watch.ts'
import { audited, found, serverWith } from './audited.ts'

test('for how long it is so is said of what is seen now, not of what that hides', () => {
  const told: string[] = []
  const terminal = {
    isTTY: false,
    columns: 100,
    style: (_: unknown, text: string) => text,
    out: (text: string) => told.push(text),
    err: () => {},
  }
  const rounds = [found('not-reloaded', 'web-1'), found('unreachable', 'web-1')].map((each) =>
    serverWith('web-1', { served: [each] }),
  )
  let known: Parameters<typeof changeOf>[0] = new Map()
  for (const [at, subjects] of [rounds[0], rounds[0], rounds[1], rounds[1]].entries()) {
    const atMs = at * 600_000
    const change = changeOf(known, subjects ?? [], atMs)
    known = change.known
    tellLines(terminal).round({ atMs, audit: audited(subjects ?? []), change })
  }
  const verdicts = told.filter((line) => line.includes('looked at')).map((line) => /Z {2}([^:]*):/.exec(line)?.[1])
  assert.deepEqual(verdicts, [
    '1 critical just now',
    '1 critical for 10 min',
    '1 could not be looked at just now',
    '1 could not be looked at for 10 min',
  ])
  assert.ok(!told.some((line) => line.includes('gone:')))
})
