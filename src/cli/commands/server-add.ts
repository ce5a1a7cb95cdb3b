import { resolve } from 'node:path'
import type { Command } from 'commander'
import { recordTexts } from '../../actions/addresses.ts'
import { chosenServer } from '../../actions/choice.ts'
import { type Added, type AddPlan, addServer, planServer } from '../../actions/server-add.ts'
import { fail } from '../../base/errors.ts'
import { addServer as addServerTo } from '../../fleet/edit/server.ts'
import { type Entry, flowEntry, type Value } from '../../fleet/entries.ts'
import { parseFleetText, readFleetText, writeFleetText } from '../fleet-file.ts'
import { wholeNumber } from '../numbers.ts'
import { serviceValue, terminating } from '../service.ts'
import { describe, printJson, type Shell, settingsFor, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly site: string[]
  readonly ssh?: string
  readonly sshPort?: number
  readonly identityFile?: string
  readonly hostKey?: string
  readonly local?: boolean
  readonly address?: readonly string[]
  readonly port?: number
  readonly service?: Value
  readonly location?: string
  readonly directory?: string
  readonly publish: boolean
  readonly dryRun?: boolean
  readonly connectTimeout: number
}

export function addCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('add')
    .argument('<server>', 'its name in the fleet file; what is there already needs no options but --site')
    .requiredOption('--site <name...>', 'the sites that it is to serve')
    .option('--ssh <destination>', 'user@host, or an alias of ssh_config')
    .option('--ssh-port <number>', 'of its sshd', wholeNumber(1, 65_535))
    .option('--identity-file <file>', 'the client key')
    .option('--host-key <fingerprint>', 'SHA256:…, as its console shows it')
    .option('--local', 'this machine')
    .option('--address <ip...>', 'where its own handshakes are looked at, and what is published: all that it has')
    .option('--port <number>', 'of its TLS', wholeNumber(1, 65_535))
    .option(
      '--service <kind>',
      `what terminates TLS there: ${terminating.join(', ')}; or as the fleet file has it`,
      serviceValue,
    )
    .option('--location <text>', 'where it stands')
    .option('--directory <path>', 'where generations lie there')
    .option('--no-publish', 'leave the DNS as it is')
    .option('--dry-run', 'change nothing: say what would be done')
    .option('--connect-timeout <seconds>', 'for the server', wholeNumber(1, 600), 15)
    .summary('bring a new server in: copy, prove, and only then publish its address')
    .description(
      'Adds a server to the fleet file and to sites, carries their certificates to it, proves it by handshake at its own address, and only then adds that address to the DNS, where the site lies in one of the zones. The same command again goes on where it ended.',
    )
  describe(
    command,
    [
      'onecert server add ap-1 --ssh deploy@ap-1.domain.example --address 192.0.2.31 --service nginx --site www.domain.example',
      "onecert server add ap-2 --local --address 192.0.2.32 --service '{ traefik: { dynamic: /etc/traefik/dynamic/tls.yaml } }' --site www.domain.example",
      'onecert server add ap-1 --site www.domain.example              # it is in the fleet file already, or go on',
      'onecert server add ap-1 --site www.domain.example --no-publish # copy and prove, leave the DNS alone',
    ],
    [
      usageExit,
      {
        status: 69,
        when: 'the server or a name server does not do its part; its address is published only if it is proven',
      },
      { status: 73, when: 'the fleet file has another server of this name' },
      { status: 75, when: 'its maintenance window is closed, or interrupted: run it again' },
      { status: 77, when: 'the server, its host key, or the name server refuses' },
      { status: 78, when: 'the fleet file would be wrong, or no licence seat is left: nothing was changed' },
    ],
  ).action((name: string, options: Options) =>
    withContext(shell, command, async (opened, json) => {
      const { settings } = settingsFor(command)
      const text = await readFleetText(settings)
      const entry = entryOf(name, options, opened.fleet.servers.has(name))
      const sites = options.site.map((each) => each.toLowerCase())
      const edit = (before: string) => addServerTo(before, entry, sites)
      const edited = edit(text)
      const context = { ...opened, fleet: parseFleetText(edited, settings) }
      if (options.dryRun) {
        const plan = await planServer(context, name)
        const records = (site: string) => recordTexts(site, chosenServer(context.fleet, name))
        if (json) printJson(shell.terminal, planJson(plan, options, edited !== text, records))
        else printPlan(plan, entry, options, edited !== text, records, shell.terminal)
        return
      }
      const added = await addServer(context, name, {
        publish: options.publish,
        connectTimeoutMs: options.connectTimeout * 1000,
        save: async () => {
          // Somebody may have changed it meanwhile.
          const now = await readFleetText(settings)
          const saved = edit(now)
          if (saved === now) return
          await writeFleetText(saved, settings)
          context.report({ kind: 'server', server: name, text: `written to ${settings.fleetFile}` })
        },
      })
      if (json) printJson(shell.terminal, { ...added, written: edited !== text })
      else printAdded(added, shell.terminal)
    }),
  )
}

/** Only what was given: what the fleet file says already has to agree with that, and no more. */
function entryOf(name: string, options: Options, isThere: boolean): Entry {
  const { ssh, sshPort, identityFile, hostKey, local, address, port, service, location, directory } = options
  const missing = [
    ssh === undefined && !local ? '--ssh or --local' : [],
    address === undefined ? '--address' : [],
    service === undefined ? '--service' : [],
  ].flat()
  if (!isThere && missing.length > 0) {
    fail('USAGE', {
      what: `there is no server ${name} in the fleet file yet, and ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`,
      state: 'nothing was changed',
      next: `onecert server add ${name} --ssh USER@HOST --address IP --service nginx --site ${options.site[0]}`,
    })
  }
  const value: Record<string, Value | undefined> = {
    ssh: ssh === undefined ? undefined : sshValue(ssh, sshPort, identityFile),
    'host-key': hostKey,
    local,
    address: address?.length === 1 ? address[0] : address,
    port,
    location,
    service,
    directory,
  }
  const given = Object.entries(value).filter((each): each is [string, Value] => each[1] !== undefined)
  return { name, value: Object.fromEntries(given), comments: [] }
}

function sshValue(destination: string, port: number | undefined, identity: string | undefined): Value {
  if (port === undefined && identity === undefined) return destination
  return {
    destination,
    ...(port !== undefined && { port }),
    ...(identity !== undefined && { identity: resolve(identity) }),
  }
}

function planJson(
  { server, certificates, sites }: AddPlan,
  { publish }: Options,
  written: boolean,
  records: (site: string) => readonly string[],
): Record<string, unknown> {
  const own = sites.filter(({ zone }) => publish && zone)
  return {
    dryRun: true,
    server,
    certificates,
    publish: own.flatMap(({ site, zone }) => records(site).map((record) => ({ site, record, zone: zone?.name }))),
    byHand: sites.filter((each) => !own.includes(each)).flatMap(({ site }) => records(site)),
    wouldWrite: written,
  }
}

function printPlan(
  { server, certificates, sites }: AddPlan,
  entry: Entry,
  { publish, site }: Options,
  written: boolean,
  records: (site: string) => readonly string[],
  { out }: Terminal,
): void {
  out(`${server}: nothing is changed; this would be done:`)
  const named = Object.keys(entry.value).length > 0 ? flowEntry(entry) : server
  if (written) out(`  fleet file: ${named}, in ${site.join(', ')}`)
  out(`  certificates carried to it, and proven by handshake: ${certificates.join(', ')}`)
  for (const { site: name, zone } of sites) {
    if (zone && publish) out(`  then, in the zone ${zone.name} at ${zone.update.server}: ${records(name).join(', ')}`)
    else out(`  then to be published by hand: ${records(name).join(', ')}`)
  }
}

function printAdded({ server, certificates, changed, published, byHand, behind }: Added, terminal: Terminal): void {
  const mark = terminal.style('green', 'proven')
  terminal.out(`${server}: ${mark} with ${certificates.join(', ')}${changed ? '' : ' (it had it)'}`)
  for (const { site, address } of published) terminal.out(`${server}: ${address} is published in ${site}`)
  for (const record of byHand) terminal.out(`${server}: publish by hand, it is proven now: ${record}`)
  for (const site of behind) terminal.out(`${server}: put it behind what stands before ${site}, it is proven now`)
}
