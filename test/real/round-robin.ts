import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import type { Entry } from '../../src/ledger/entry.ts'
import type { KeyCopy } from '../../src/ledger/keycopies.ts'
import type { Sold } from '../authority.ts'
import type { Ended } from '../onecert.ts'
import { type FleetDocument, type RealFleet, type RealServer, siteName, startFleet } from './fleet.ts'
import { type PublishedZone, startPublishedZone } from './published-zone.ts'

const run = promisify(execFile)

/** eu-1 and us-1 are in the DNS and in the site; ap-1 is the server that comes and goes. */
export interface RoundRobin extends AsyncDisposable {
  readonly fleet: RealFleet
  readonly zone: PublishedZone
  readonly ap1: RealServer
  /** Addresses of servers, sorted. */
  addresses(...names: string[]): string[]
  /** Buys a certificate, and brings eu-1 and us-1 to it; ap-1 is in the fleet file alone. */
  twoServers(change?: (document: FleetDocument) => void): Promise<Sold>
  add(...words: string[]): Promise<Ended>
  remove(...words: string[]): Promise<Ended>
  written(): Promise<FleetDocument>
  record(): Promise<Entry[]>
  /** Files on a server with a line of the key in them. */
  filesWithKey(server: string, sold: Sold): Promise<string[]>
  /** Paths of the copies of a key that the ledger knows there. */
  copiesOn(server: string, sold: Sold): Promise<string[]>
}

export async function startRoundRobin(): Promise<RoundRobin> {
  const fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  const addresses = (...names: string[]) => names.map((name) => fleet.server(name).service.address).sort()
  const zone = await startPublishedZone(addresses('eu-1', 'us-1').map((address) => `www 3 A ${address}`))
  return {
    fleet,
    zone,
    ap1: fleet.server('ap-1'),
    addresses,
    async twoServers(change = () => {}) {
      await fleet.configure((document) => {
        document.zones = { 'lab.example': zone.settings }
        document.sites[siteName].dns = ['eu-1', 'us-1']
        change(document)
      })
      const sold = await fleet.buy()
      const { exit, stderr } = await fleet.run('apply')
      assert.equal(exit, 0, stderr)
      return sold
    },
    add: (...words) => fleet.run('server', 'add', 'ap-1', '--site', siteName, ...words),
    remove: (...words) => fleet.run('server', 'remove', 'ap-1', '--yes', ...words),
    written: async () => parse(await readFile(fleet.fleetFile, 'utf8')) as FleetDocument,
    record: async () => (await fleet.run.json<{ entries: Entry[] }>('ledger', '--last', '10000')).entries,
    filesWithKey(server, { keyPem }) {
      const line = keyPem.split('\n')[1] ?? ''
      assert.ok(line.length > 40)
      return run('grep', ['-rlF', '--', line, join(fleet.directory, server)]).then(
        ({ stdout }) => stdout.trim().split('\n'),
        () => [],
      )
    },
    async copiesOn(server, { keyPem }) {
      const der = createPublicKey(keyPem).export({ type: 'spki', format: 'der' })
      const spki = createHash('sha256').update(der).digest('hex')
      const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopy[] }>('ledger', 'keys')
      return keyCopies.filter((copy) => copy.server === server && copy.spki === spki).map(({ path }) => path)
    },
    async [Symbol.asyncDispose]() {
      await zone[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}
