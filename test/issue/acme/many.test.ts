import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { inLanes } from '../../../src/base/lanes.ts'
import type { AcmeIssuer } from '../../../src/fleet/fleet.ts'
import { acme } from '../../../src/issue/acme/issuer.ts'
import { openRegistered } from '../../../src/issue/acme/registration.ts'
import type { Solver } from '../../../src/issue/solver.ts'
import { startPebble } from '../../real/pebble.ts'
import { openKeeper, orderOf } from '../keeper.ts'

const issuances = Number(process.env.ONECERT_ISSUANCES ?? 200)
const parallel = 12

/** The CA is one that takes every challenge for answered: what is tested is that no request of ours is lost or doubled. */
const solver: Solver = { type: 'http-01', present: async () => {}, remove: async () => {} }

test(`${issuances} issuances by a CA that refuses half of all good nonces, sleeps, and reuses authorizations: none lost, one order each`, {
  timeout: 600_000,
}, async () => {
  await using pebble = await startPebble({ nonceRejectPercent: 50, alwaysValid: true, sleepSeconds: 1, authzReuse: 50 })
  await using keeper = await openKeeper()
  const caFile = keeper.directory.file('ca.pem')
  await writeFile(caFile, pebble.trust)
  const spec: AcmeIssuer = { kind: 'acme', name: 'lab', directory: pebble.directoryUrl, email: [], caFile }
  const tools = { ...keeper.tools, signal: AbortSignal.timeout(590_000), solvers: [solver] }
  const issuer = acme(spec, tools)
  const leaves = new Map<string, string>()
  const client = await openRegistered(spec, tools)
  const lineages = Array.from({ length: issuances }, (_, at) => `lineage-${at}`)
  await inLanes(lineages, parallel, async (lineage) => {
    // Some names stand in several orders: that is where authorizations are reused.
    const names = [`${lineage}.lab.example`, `shared-${lineage.length}.lab.example`]
    const bundle = await issuer.issue(orderOf({ lineage, names }))
    assert.ok(bundle)
    assert.ok(await keeper.keys.has(lineage, bundle.spki))
    leaves.set(lineage, bundle.leaf.fingerprint)
  })
  assert.equal(new Set(leaves.values()).size, issuances)
  assert.equal((await client.orders()).length, issuances)
})
