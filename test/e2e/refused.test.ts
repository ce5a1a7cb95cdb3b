import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type RealFleet, siteName, startFleet } from '../real/fleet.ts'

const bought = (fleet: RealFleet, file: string) => join(fleet.directory, 'bought', file)

/** What a person may bring by mistake, each with the code that says which mistake it is. */
const mistakes: readonly {
  readonly what: string
  readonly code: string
  readonly make: (fleet: RealFleet) => Promise<unknown>
}[] = [
  {
    what: "another certificate's key",
    code: 'PEM_KEY_MISMATCH',
    async make(fleet) {
      const other = await fleet.authority.sell({ names: [siteName] })
      await writeFile(bought(fleet, 'key.pem'), other.keyPem)
    },
  },
  {
    what: 'a leaf without its intermediate',
    code: 'CHAIN_INCOMPLETE',
    make: (fleet) =>
      fleet.configure((document) => {
        delete document.issuers.bought.import.chain
      }),
  },
  { what: 'an expired leaf', code: 'CERT_EXPIRED', make: (fleet) => fleet.buy({ fromDay: -90, toDay: -1 }) },
  { what: 'a leaf of next week', code: 'CERT_NOT_YET_VALID', make: (fleet) => fleet.buy({ fromDay: 7 }) },
  { what: 'a wrong name', code: 'CERT_NAME_MISSING', make: (fleet) => fleet.buy({ names: ['www.lab2.example'] }) },
  { what: 'a weak key', code: 'KEY_TOO_WEAK', make: (fleet) => fleet.buy({ rsaBits: 1024 }) },
  {
    what: 'a file that is no certificate',
    code: 'PEM_',
    make: (fleet) => writeFile(bought(fleet, 'leaf.pem'), 'hello\n'),
  },
]

describe('refused before any server is touched', () => {
  let fleet: RealFleet
  before(async () => {
    fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'apache' })
  })
  after(() => fleet[Symbol.asyncDispose]())

  for (const { what, code, make } of mistakes) {
    test(what, async () => {
      await fleet.buy()
      await fleet.configure(() => {})
      await make(fleet)
      const heard = () => Promise.all(fleet.servers.map(({ sshd }) => sshd.output()))
      const before = await heard()
      for (const verb of ['plan', 'apply']) {
        const { exit, stdout, stderr } = await fleet.run(verb)
        assert.equal(exit, 65, stderr)
        assert.ok(stderr.includes(`error ${code}`), stderr)
        assert.match(stderr, /no server was touched/)
        assert.match(stderr, /next: /)
        assert.ok(!/\n {4}at |PRIVATE KEY/.test(stdout + stderr), 'neither a stack nor a key')
      }
      assert.deepEqual(await heard(), before, 'no server was connected to')
      for (const server of fleet.servers) assert.equal(await server.served(), server.original)
    })
  }
})

test('behind the PROXY protocol no server can look at itself: refused before anything is carried', async () => {
  await using fleet = await startFleet({
    'eu-1': { kind: 'nginx', proxyProtocol: 'v2', sshd: { keyOptions: 'no-port-forwarding' } },
  })
  await fleet.configure((document) => {
    document.servers['eu-1'].probe = 'through-server'
  })
  await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 75)
  assert.match(stderr, /PROBE_FORBIDDEN/)
  assert.match(stderr, /cannot send the header of the PROXY protocol/)
  assert.match(stderr, /state: nothing that eu-1 serves was changed/)
  assert.match(stderr, /next: .*permitopen/)
  const server = fleet.server('eu-1')
  assert.equal(await server.served(), server.original)
  const { entries } = await fleet.run.json<{ entries: readonly { effect: string }[] }>('ledger')
  assert.deepEqual(
    entries.map(({ effect }) => effect).filter((effect) => ['key-copy', 'stage', 'swap'].includes(effect)),
    [],
  )
})
