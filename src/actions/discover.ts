import { fail, quote } from '../base/errors.ts'
import type { Server } from '../fleet/fleet.ts'
import { isAddress } from '../pki/names.ts'
import type { Connection } from '../reach/connection.ts'
import { expectOk } from '../rollout/conversation.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { type Discovery, readDiscovery } from '../services/discover/discover.ts'
import { discoverable } from '../services/discover/dump.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'
import { needsSudo, type Proposal, proposalFor } from './proposal.ts'

export interface DiscoverOptions {
  /** For a server that the fleet file does not have. */
  readonly reach?: { readonly ssh: string; readonly hostKeys: readonly string[] } | { readonly local: true }
  /** Where its own handshakes are to be looked at. */
  readonly address?: string
}

export interface Discovered extends Proposal {
  readonly server: string
  /** It is in the fleet file already. */
  readonly known: boolean
  readonly discoveries: readonly Discovery[]
}

/**
 * Reads the configuration of what ends TLS on a server, and says it in words of the fleet file. Nothing is changed there, and no
 * private key is opened.
 * @throws OnecertError DISCOVER_NOTHING, SERVER_UNKNOWN, SSH_*
 */
export async function discover(context: Context, name: string, options: DiscoverOptions): Promise<Discovered> {
  const { fleet } = context
  const listed = fleet.servers.get(name)
  if (listed && options.reach) {
    fail('USAGE', {
      what: `${name} is in the fleet file already: it says how ${name} is reached`,
      next: `onecert server discover ${name}`,
    })
  }
  const server = listed ?? strange(name, options)
  const discoveries: Discovery[] = []
  const cut: string[] = []
  await withConnection(context, server, receiverFor(fleet, server, 'configuration'), async (connection) => {
    for (const kind of discoverable) {
      const { found, isCut } = await ask(connection, kind, name)
      if (isCut) cut.push(`the configuration of ${kind} is longer than is read: there may be more`)
      if (found.sites.length > 0) discoveries.push(found)
    }
  })
  if (discoveries.length === 0) {
    fail('DISCOVER_NOTHING', {
      what: `no configuration on ${name} names a certificate`,
      fact: `looked for ${discoverable.join(', ')}, as an account that may or may not read them`,
      state: 'nothing was changed',
      next: 'connect with an account that may read the configuration, or write the entry by hand: docs/fleet-file.md',
    })
  }
  const { entries, remarks } = proposalFor(fleet, server, discoveries, options.address)
  return { server: name, known: listed !== undefined, discoveries, entries, remarks: [...cut, ...remarks] }
}

async function ask(
  connection: Connection,
  kind: (typeof discoverable)[number],
  server: string,
): Promise<{ found: Discovery; isCut: boolean }> {
  const answer = await connection.request('discover', [kind])
  const facts = expectOk(answer, `reading the configuration of ${server}`, 'nothing was changed')
  return { found: readDiscovery(kind, answer.output), isCut: facts.get('cut') === 'yes' }
}

/** A server as far as it can be reached. */
function strange(name: string, { reach, address }: DiscoverOptions): Server {
  if (!/^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}$/.test(name)) {
    fail('USAGE', {
      what: `"${quote(name)}" cannot be the name of a server`,
      next: 'lower-case letters, digits, ".", "_" and "-"',
    })
  }
  if (reach === undefined) {
    fail('SERVER_UNKNOWN', {
      what: `no server "${name}" in the fleet file`,
      state: 'nothing was changed',
      next: `say how it is reached: onecert server discover ${name} --ssh root@HOST, or --local`,
    })
  }
  const way: Server['reach'] =
    'local' in reach
      ? { kind: 'local' }
      : { kind: 'ssh', destination: reach.ssh, hostKeys: reach.hostKeys, sudo: needsSudo(reach.ssh) }
  const own = address ?? addressIn(way) ?? ''
  return {
    name,
    reach: way,
    address: own,
    addresses: [own],
    listeners: [{ port: 443 }],
    service: { kind: 'none' },
    directory: '/etc/onecert',
    files: new Map(),
    keyFolders: [],
    windows: [],
    probe: 'direct',
  }
}

function addressIn(reach: Server['reach']): string | undefined {
  const host = reach.kind === 'ssh' ? (reach.destination.split('@').at(-1) ?? '').replace(/^\[(.*)\]$/, '$1') : ''
  return isAddress(host) ? host : undefined
}
