import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { test } from 'node:test'
import type { AcmeIssuer } from '../../src/fleet/fleet.ts'
import { acme } from '../../src/issue/acme/issuer.ts'
import { tlsAlpn01 } from '../../src/issue/tls-alpn01.ts'
import { startPebble } from '../real/pebble.ts'
import { chooseEndpoint } from '../real/running.ts'
import { openKeeper, orderOf } from './keeper.ts'

test('tls-alpn-01: the CA finds the answer where we listen, and nobody listens there any more at the end', async () => {
  const own = await chooseEndpoint({})
  await using pebble = await startPebble({ tlsPort: own.port })
  await using keeper = await openKeeper()
  const caFile = keeper.directory.file('ca.pem')
  await writeFile(caFile, pebble.trust)
  const names = ['www.lab.example', 'shop.lab.example']
  for (const name of names) await pebble.addA(name, [own.address])
  const spec: AcmeIssuer = { kind: 'acme', name: 'lab', directory: pebble.directoryUrl, email: [], caFile }
  {
    await using solver = tlsAlpn01(own, keeper.tools)
    const bundle = await acme(spec, { ...keeper.tools, solvers: [solver] }).issue(orderOf({ names }))
    assert.deepEqual(bundle?.leaf.names.toSorted(), names.toSorted())
  }
  const free = createServer()
  await new Promise<void>((resolve, reject) => free.once('error', reject).listen(own.port, own.address, resolve))
  free.close()
})

test('tls-alpn-01: a port that is taken is told before the CA is', async () => {
  const own = await chooseEndpoint({})
  await using keeper = await openKeeper()
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(own.port, own.address, resolve))
  await using solver = tlsAlpn01(own, keeper.tools)
  const challenge = { name: 'www.lab.example', type: 'tls-alpn-01', token: 't', keyAuthorization: 't.k' } as const
  await assert.rejects(solver.present(challenge, keeper.tools.signal), { code: 'CHALLENGE_CANNOT_LISTEN' })
  taken.close()
})
