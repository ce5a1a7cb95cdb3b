import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { chosenServer } from '../../actions/choice.ts'
import { type Discovered, type DiscoverOptions, discover } from '../../actions/discover.ts'
import { enrol } from '../../actions/enrol.ts'
import { release } from '../../actions/release.ts'
import { fail } from '../../base/errors.ts'
import { addEntries } from '../../fleet/edit/entries.ts'
import { setHostKey } from '../../fleet/edit/server.ts'
import { entriesText } from '../../fleet/entries.ts'
import { isAddress } from '../../pki/names.ts'
import { scanHostKey } from '../../reach/scan.ts'
import { parseFleetText, readFleetText, writeFleetText } from '../fleet-file.ts'
import { openFleet } from '../open.ts'
import { configurationExit, describe, printJson, type Shell, settingsFor, usageExit, withContext } from '../shell.ts'
import { addCommand } from './server-add.ts'
import { removeCommand } from './server-remove.ts'

const timeoutMs = 15_000
const reachExits = [
  usageExit,
  { status: 69, when: 'the server cannot be reached' },
  { status: 77, when: 'the server, or its host key, refuses' },
  configurationExit,
]

export function serverCommand(program: Command, shell: Shell): void {
  const server = program
    .command('server')
    .description('Brings a server in or takes it out, looks at it, enrols it, or gives its files back.')
    .summary('add or remove a server, look at it, enrol it, release its files')
  describe(server, ['onecert server scan eu-1', 'onecert server add --help'], [usageExit])
  scanCommand(server, shell)
  enrolCommand(server, shell)
  releaseCommand(server, shell)
  addCommand(server, shell)
  removeCommand(server, shell)
  discoverCommand(server, shell)
}

function scanCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('scan')
    .argument('<server>', 'in the fleet file')
    .option('--write', 'write the fingerprint into the fleet file, as if you had confirmed it')
    .summary('show the host key of a server, to be confirmed by a person')
    .description('Shows the fingerprint of the host key that a server presents. Nothing is sent to it.')
  describe(command, ['onecert server scan eu-1', 'onecert server scan eu-1 --write'], reachExits).action(
    async (name: string, options: { write?: boolean }) => {
      shell.stopping = 'nothing was changed'
      const { settings, json } = settingsFor(command)
      const fleet = await openFleet(settings)
      const server = chosenServer(fleet, name)
      if (server.reach.kind !== 'ssh') {
        fail('USAGE', {
          what: `${name} is this machine: it has no host key to confirm`,
          next: `onecert status --server ${name}`,
        })
      }
      const found = await scanHostKey(server, { timeoutMs, signal: shell.signal })
      const known = server.reach.hostKeys.includes(found.fingerprint)
      const pinned = server.reach.hostKeys
      if (options.write && !known && (pinned.length > 0 || server.reach.knownHosts !== undefined)) {
        fail('SSH_HOST_KEY_CHANGED', {
          what: `${name} presents a host key that the fleet file does not name`,
          fact: `presented ${found.type} ${found.fingerprint}; confirmed ${server.reach.knownHosts ?? pinned.join(' or ')}`,
          state: 'the fleet file is as it was',
          next: `if that is right, put the new one there by hand (two are allowed while a host key is rotated)`,
        })
      }
      if (options.write && !known) {
        const text = await readFleetText(settings)
        await writeFleetText(setHostKey(text, name, found.fingerprint), settings)
      }
      if (json)
        return printJson(shell.terminal, { server: name, ...found, known, written: Boolean(options.write && !known) })
      shell.terminal.out(`${name} (${found.destination}) presents ${found.type} ${found.fingerprint}`)
      if (known) shell.terminal.out('It is the one in the fleet file.')
      else if (options.write) shell.terminal.out(`Written to ${settings.fleetFile}.`)
      else {
        if (pinned.length > 0) {
          shell.terminal.out(
            `The fleet file names another: ${pinned.join(' or ')}. It may be a host key of another type, or an older one.`,
          )
        }
        shell.terminal.out(
          `Compare it with what the server itself says (on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).`,
        )
        shell.terminal.out(
          `If it is the same, put into ${settings.fleetFile}, at ${name}:  host-key: "${found.fingerprint}"` +
            (pinned.length > 0 ? '' : `, or: onecert server scan ${name} --write`),
        )
      }
    },
  )
}

function enrolCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('enrol')
    .argument('<server>', 'in the fleet file')
    .option(
      '--as <destination>',
      'connect with this account, such as root@eu-1.domain.example, not with the one of the fleet file',
    )
    .option('--identity-file <file>', 'with this client key')
    .option('--deploy-key <file>', 'a public key (.pub) that may do nothing but run the receiver there')
    .summary('install the receiver on a server, as forced command of a deploy key')
    .description(
      'Installs the receiver on a server. With --deploy-key that key may run the receiver there, and do nothing else.',
    )
  describe(
    command,
    [
      'onecert server enrol eu-1 --deploy-key ~/.ssh/onecert.pub',
      'onecert server enrol eu-1 --as root@eu-1.domain.example   # the receiver there is outdated',
    ],
    reachExits,
  ).action((name: string, options: { deployKey?: string; as?: string; identityFile?: string }) =>
    withContext(shell, command, async (context, json) => {
      const key = options.deployKey ? readKey(options.deployKey) : null
      const enrolled = await enrol(context, name, {
        deployKey: key,
        timeoutMs,
        ...(options.as && { as: options.as }),
        ...(options.identityFile && { identity: resolve(options.identityFile) }),
      })
      if (json) return printJson(shell.terminal, enrolled)
      const { out } = shell.terminal
      out(`${name}: the receiver is installed as ${enrolled.receiver} (${enrolled.id.slice(0, 12)})`)
      if (enrolled.authorizedKeysFile)
        out(`${name}: the deploy key may run it, and nothing else (${enrolled.authorizedKeysFile})`)
      else
        out(
          `For a deploy key that can do nothing else, in authorized_keys of that account:\n  ${enrolled.authorizedKeysLine}`,
        )
      if (enrolled.sudoersLine)
        out(`In /etc/sudoers.d/onecert (visudo -f /etc/sudoers.d/onecert):\n  ${enrolled.sudoersLine}`)
    }),
  )
}

function readKey(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    fail('INPUT_UNREADABLE', { what: `the deploy key ${file} cannot be read`, cause, next: 'name a .pub file' })
  }
}

function releaseCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('release')
    .argument('<server>', 'in the fleet file')
    .summary('give the explicit paths of a server back as plain files')
    .description(
      'Where the fleet file names explicit paths, they are links into the generation directory: this makes them plain files again, with the same bytes.',
    )
  describe(command, ['onecert server release eu-1'], reachExits).action((name: string) =>
    withContext(shell, command, async (context, json) => {
      const { paths, released, ticketsKept } = await release(context, name, timeoutMs)
      if (json) return printJson(shell.terminal, { server: name, paths, released, ticketsKept })
      for (const lineage of ticketsKept)
        shell.terminal.out(`${name}: the session ticket keys of ${lineage} stay: its configuration names them`)
      if (paths.length === 0)
        shell.terminal.out(`${name}: the fleet file names no explicit paths there; nothing to release`)
      else if (released === 0)
        shell.terminal.out(`${name}: ${paths.join(', ')}: no links of onecert; nothing to release`)
      else for (const path of paths) shell.terminal.out(`${name}: ${path} is a plain file again`)
    }),
  )
}

interface DiscoverWords {
  readonly ssh?: string
  readonly local?: boolean
  readonly hostKey?: string
  readonly address?: string
  readonly write?: boolean
}

function discoverCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('discover')
    .argument('<server>', 'its name in the fleet file, or the one that it is to get')
    .option('--ssh <destination>', 'a server that the fleet file does not have, such as root@eu-1.domain.example')
    .option('--host-key <fingerprint>', 'the confirmed host key of that server, SHA256:…')
    .option('--local', 'this machine, where the fleet file does not have it')
    .option('--address <address>', 'where its handshakes are to be looked at')
    .option('--write', 'add the lines to the fleet file; what is in it stays as it is')
    .summary('propose lines of the fleet file for what a server has in its configuration')
    .description(
      'Reads the configuration of nginx, Apache, HAProxy, Caddy, Postfix, Dovecot and PostgreSQL on a server and prints lines for the fleet file. Only addresses, names and paths of certificates leave the server; nothing is changed there.',
    )
  describe(
    command,
    [
      'onecert server discover eu-1',
      'onecert server discover us-1 --ssh root@us-1.domain.example --host-key SHA256:… --write',
      'onecert server discover here --local --address 192.0.2.11',
    ],
    [
      ...reachExits,
      { status: 65, when: 'no configuration there names a certificate' },
      { status: 73, when: 'the fleet file has entries of these names' },
    ],
  ).action((name: string, words: DiscoverWords) =>
    withContext(shell, command, async (context, json) => {
      const found = await discover(context, name, discoverOptions(words))
      const { settings } = settingsFor(command)
      if (words.write) {
        const edited = addEntries(await readFleetText(settings), found.entries)
        parseFleetText(edited, settings)
        await writeFleetText(edited, settings)
      }
      if (json) return printJson(shell.terminal, discoveredJson(found, words.write ?? false))
      for (const remark of found.remarks) shell.terminal.out(`# ${remark}`)
      if (!words.write) return shell.terminal.out(entriesText(found.entries).trimEnd())
      for (const section of ['servers', 'sites'] as const)
        for (const entry of found.entries[section]) shell.terminal.out(`added ${section}.${entry.name}`)
      shell.terminal.out('next: onecert check; onecert plan')
    }),
  )
}

function discoverOptions({ ssh, local, hostKey, address }: DiscoverWords): DiscoverOptions {
  if (ssh !== undefined && local)
    fail('USAGE', { what: '--ssh and --local are two ways to one server', next: 'give one of them' })
  if (ssh?.startsWith('-')) fail('USAGE', { what: 'an ssh destination does not begin with "-"' })
  if (address !== undefined && !isAddress(address)) fail('USAGE', { what: `--address: ${address} is no IP address` })
  return {
    ...(local && { reach: { local: true } as const }),
    ...(ssh !== undefined && { reach: { ssh, hostKeys: hostKey === undefined ? [] : [hostKey] } }),
    ...(address !== undefined && { address }),
  }
}

function discoveredJson({ server, known, discoveries, entries, remarks }: Discovered, written: boolean) {
  const values = (section: 'servers' | 'sites') =>
    Object.fromEntries(entries[section].map(({ name, value }) => [name, value]))
  return {
    server,
    known,
    services: discoveries.map(({ kind, sites, facts }) => ({ kind, sites, files: Object.fromEntries(facts) })),
    servers: values('servers'),
    sites: values('sites'),
    remarks,
    written,
  }
}
