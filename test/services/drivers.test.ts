import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceOf } from '../../src/services/drivers.ts'

test('a cluster of PostgreSQL is reloaded by itself, and without one all of them are', () => {
  const { reload, start } = serviceOf({ kind: 'postgresql', cluster: '15/main' })
  assert.deepEqual(reload, ['pg_ctlcluster', '15', 'main', 'reload'])
  assert.deepEqual(start, ['pg_ctlcluster', '15', 'main', 'start'])
  assert.deepEqual(serviceOf({ kind: 'postgresql' }).reload, ['systemctl', 'reload', 'postgresql'])
})

test('what the fleet file says goes before the driver', () => {
  const own = { test: ['a'], reload: ['b'], start: ['c'] }
  for (const kind of ['nginx', 'apache', 'haproxy', 'caddy', 'postfix', 'dovecot', 'postgresql', 'envoy'] as const) {
    const { test, reload, start } = serviceOf({ kind, ...own })
    assert.deepEqual({ test, reload, start }, own)
  }
  assert.equal(serviceOf({ kind: 'postfix', layout: 'pair' }).layout, 'pair')
})
