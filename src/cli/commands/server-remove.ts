import type { Command } from 'commander'
import { planRemoval, type Removed, type RemovePlan, removeServer } from '../../actions/server-remove.ts'
import { fail } from '../../base/errors.ts'
import { removeServer as removeServerFrom } from '../../fleet/edit/server.ts'
import { counted } from '../../pki/text.ts'
import { parseFleetText, readFleetText, writeFleetText } from '../fleet-file.ts'
import { wholeNumber } from '../numbers.ts'
import { confirm } from '../prompt.ts'
import { configurationExit, describe, printJson, type Shell, settingsFor, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly now?: boolean
  readonly yes?: boolean
  readonly lost?: boolean
  readonly dryRun?: boolean
  readonly connectTimeout: number
}

export function removeCommand(parent: Command, shell: Shell): void {
  const command = parent
    .command('remove')
    .argument('<server>', 'in the fleet file, or one that left it and still has a key copy')
    .option('--now', 'do not wait until nobody remembers its address')
    .option('--lost', 'it cannot be reached any more: record its key copies as lost')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing: say what would be done')
    .option('--connect-timeout <seconds>', 'for the server', wholeNumber(1, 600), 15)
    .summary('take a server out: withdraw its address, wait, purge its key copies')
    .description(
      'Withdraws the address of a server from the DNS, waits until no name server shows it and no resolver remembers it, purges every key copy there, and has it looked at on the server that no file with the key is left. Then it leaves the fleet file. The same command again goes on where it ended. A running service keeps what it has read: take the TLS site out of its configuration first, or stop it. What onecert config has installed there goes by onecert config --uninstall: until then nothing is purged.',
    )
  describe(
    command,
    [
      'onecert server remove ap-1',
      'onecert server remove ap-1 --now --yes   # its address is out of use already',
      'onecert server remove ap-1 --lost --yes  # it is gone for good; then: onecert renew www --rekey',
    ],
    [
      usageExit,
      { status: 69, when: 'the server or a name server does not do its part, or a file with the key is left' },
      { status: 75, when: 'the DNS still leads to it, or interrupted: run it again' },
      { status: 77, when: 'the server or the name server refuses, or it is the last address' },
      configurationExit,
    ],
  ).action((name: string, options: Options) =>
    withContext(shell, command, async (context, json) => {
      const { settings } = settingsFor(command)
      parseFleetText(removeServerFrom(await readFleetText(settings), name), settings)
      const plan = await planRemoval(context, name)
      if (options.dryRun) {
        if (json) printJson(shell.terminal, planJson(plan, options))
        else printPlan(plan, options, shell.terminal.out)
        return
      }
      if (!json) printPlan(plan, options, shell.terminal.err)
      if (!options.yes && !(await confirm(`Remove ${name}?`, `onecert server remove ${name} --yes`))) {
        fail('INTERRUPTED', {
          what: `${name} was not removed`,
          state: 'nothing was changed',
          next: `onecert server remove ${name}`,
        })
      }
      const removed = await removeServer(context, name, {
        now: options.now ?? false,
        lost: options.lost ?? false,
        timeoutMs: options.connectTimeout * 1000,
        save: async () => {
          // Minutes may have passed: somebody may have changed it meanwhile.
          const now = await readFleetText(settings)
          const saved = removeServerFrom(now, name)
          if (saved !== now) await writeFleetText(saved, settings)
        },
      })
      if (json) printJson(shell.terminal, removed)
      else printRemoved(removed, shell.terminal)
    }),
  )
}

function printPlan(
  { server, sites, behind, lineages, copies, inFleet, uninstalls }: RemovePlan,
  options: Options,
  out: Terminal['out'],
): void {
  out(`${server}: ${options.dryRun ? 'nothing is changed; this would be done:' : 'this is to be done:'}`)
  for (const { site, zone } of sites) {
    out(
      zone
        ? `  withdraw its address from ${site}`
        : `  look that ${site} does not lead to it any more (you write its records)`,
    )
  }
  if (sites.length > 0 && !options.now && !options.lost)
    out('  wait until no name server shows it, and no resolver remembers it')
  for (const site of behind) out(`  (take it out of what stands before ${site} first: onecert cannot see that)`)
  for (const uninstall of options.lost ? [] : uninstalls) out(`  stop here until this is done: ${uninstall}`)
  if (options.lost) out(`  record ${counted(copies.length, 'key copy', 'key copies')} there as lost`)
  else
    out(
      `  purge ${counted(copies.length, 'key copy', 'key copies')} of ${lineages.join(', ') || 'no certificate'}, and look that none is left`,
    )
  if (inFleet) out('  take it out of the fleet file')
}

function planJson(
  { server, inFleet, sites, behind, lineages, copies, uninstalls }: RemovePlan,
  { lost = false }: Options,
): Record<string, unknown> {
  return {
    dryRun: true,
    server,
    certificates: lineages,
    withdraw: sites.flatMap(({ site, zone }) => (zone ? [site] : [])),
    byHand: sites.flatMap(({ site, zone }) => (zone ? [] : [site])),
    behind,
    stopsFor: lost ? [] : uninstalls,
    [lost ? 'lost' : 'purge']: copies.map(({ lineage, path, spki }) => ({ certificate: lineage, path, spki })),
    wouldWrite: inFleet,
  }
}

function printRemoved(
  { server, withdrawn, purged, lost, proof, stillServed, rekey }: Removed,
  { out, style }: Terminal,
): void {
  for (const site of withdrawn) out(`${server}: its address is withdrawn from ${site}`)
  if (proof) {
    const how = proof === 'keys' ? 'every file was looked at' : 'by its paths: openssl is not there to look into files'
    out(
      `${server}: ${style('green', 'no file with the key is left')} (${counted(purged.length, 'key copy', 'key copies')} purged; ${how})`,
    )
  }
  if (stillServed) {
    out(
      `${server}: ${style('yellow', 'its service still has the key in its memory')} and would not start again: stop it, or take the TLS site out of it and reload it`,
    )
  }
  for (const path of lost) out(`${server}: ${style('yellow', 'lost')}: ${path}`)
  for (const lineage of lost.length > 0 ? rekey : []) out(`replace the key: onecert renew ${lineage} --rekey`)
  out(`${server}: removed`)
}
