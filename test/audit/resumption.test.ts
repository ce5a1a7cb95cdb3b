import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeRing, type Passed } from '../../src/audit/resumption.ts'
import type { Resumption } from '../../src/observe/resumption.ts'

const short: Readonly<Record<string, Resumption>> = { r: 'resumed', f: 'full', n: 'no-session', s: 'not-spoken' }

/** A ring of a, b, c…: what was seen from each to the next one; `-` where it could not be looked at. */
function ring(seen: string): Passed[] {
  const names = [...'abcdef'].slice(0, seen.length)
  return [...seen].map((letter, at) => ({
    from: names[at] ?? '',
    to: names[(at + 1) % names.length] ?? '',
    protocol: 'TLSv1.3',
    seen: short[letter] ?? null,
    ...(letter === '-' && { reason: 'b does not answer' }),
  }))
}

for (const [seen, verdict, odd, told] of [
  ['rrr', 'proven', '', null],
  ['rff', 'drift', 'c', /^c has other ticket keys than the rest$/],
  ['rnf', 'drift', 'c', /^c has/],
  ['rrffrr', 'drift', 'd', /^d has/],
  ['rrfffr', 'drift', 'd,e', /^d, e have/],
  ['ff', 'drift', 'a,b', /^no session resumes across a, b: each has ticket keys of its own$/],
  ['rfr', 'drift', '', /^a session of b does not resume on c \(TLSv1\.3\)$/],
  ['r-r', 'unknown', '', /^b does not answer$/],
  ['f-r', 'drift', 'b', null],
  ['sss', 'unknown', '', /^they speak neither/],
  ['rss', 'proven', '', null],
] as const) {
  test(`${seen}: ${verdict}${odd && `, ${odd} by itself`}`, () => {
    const judged = judgeRing(ring(seen))
    assert.equal(judged.verdict, verdict)
    assert.equal(judged.odd.join(), odd, judged.reason ?? '')
    if (told) assert.match(judged.reason ?? '', told)
    if (verdict === 'proven') assert.equal(judged.reason, null)
  })
}
