import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Finding, finding, type Reason } from '../../src/audit/finding.ts'
import { isMendedByApply, repairCommand, repairsOf, type Tries, untried } from '../../src/audit/repair.ts'

const found = (reason: Reason, server: string | null, repair: string, certificate = 'www'): Finding =>
  finding(reason, { certificate, server, what: 'it is', repair })
const hourMs = 3_600_000

test('only a repair that is the command, and nothing else, is one that apply does', () => {
  for (const [repair, expected] of [
    ['onecert apply www', true],
    ['onecert apply www --server eu-1', true],
    ['onecert apply www --server us-1', false],
    ['onecert apply shop', false],
    ['onecert apply www, when it is open; or now: onecert apply www --now "the reason"', false],
    ['look at the balancer; then: onecert apply www', false],
    ['on eu-1: delete /etc/www.bak; if others had access: onecert renew www --rekey', false],
    ['onecert audit', false],
  ] as const) {
    assert.equal(isMendedByApply(found('not-reloaded', 'eu-1', repair)), expected, repair)
  }
  assert.equal(isMendedByApply(found('being-changed', 'eu-1', 'onecert apply www')), false)
})

test('one call for each certificate, with the servers that need it', () => {
  const repairs = repairsOf([
    found('not-reloaded', 'eu-1', 'onecert apply www'),
    found('mixed-pair', 'us-1', 'onecert apply www --server us-1'),
    found('damaged-file', 'us-1', 'onecert apply www --server us-1'),
    found('key-elsewhere', 'ap-1', 'on ap-1: delete /x'),
    found('not-issued', null, 'onecert apply shop', 'shop'),
  ])
  assert.deepEqual(repairs.map(repairCommand), ['onecert apply www --server eu-1 us-1', 'onecert apply shop'])
  assert.deepEqual(
    repairs.map(({ findings }) => findings.length),
    [3, 1],
  )
})

test('a repair is begun once an hour for a finding, also where that comes and goes', () => {
  const one = found('not-reloaded', 'eu-1', 'onecert apply www')
  const other = found('not-reloaded', 'us-1', 'onecert apply www')
  const first = untried([one], new Map(), 0)
  assert.deepEqual(first.findings, [one])
  const meanwhile = untried([], first.tries, hourMs / 2)
  const second = untried([one, other], meanwhile.tries, hourMs - 1)
  assert.deepEqual(second.findings, [other])
  assert.deepEqual(untried([one, other], second.tries, hourMs).findings, [one])
})

test('tries that are older than an hour are forgotten', () => {
  let tries: Tries = new Map()
  for (let minute = 0; minute < 10_000; minute++) {
    const each = finding('not-reloaded', {
      certificate: 'www',
      place: `${minute}`,
      what: 'x',
      repair: 'onecert apply www',
    })
    tries = untried([each], tries, minute * 60_000).tries
  }
  assert.equal(tries.size, 60)
})
