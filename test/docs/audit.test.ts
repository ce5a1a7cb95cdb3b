import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { reasons } from '../../src/audit/finding.ts'
import { meanings } from '../../src/audit/meaning.ts'

test('the guide tells each reason, with its severity and the words that pipelines are given', () => {
  const guide = readFileSync(new URL('../../docs/guides/audit.md', import.meta.url), 'utf8')
  const rows = [...guide.matchAll(/^\| `([a-z-]+)` +\| (critical|warning|notice) +\| (.*?) +\|$/gm)]
  assert.deepEqual(
    rows.map(([, reason = '', severity, meaning]) => ({ reason, severity, meaning })),
    Object.entries(reasons).map(([reason, severity]) => ({
      reason,
      severity,
      meaning: meanings[reason as keyof typeof reasons],
    })),
  )
})
