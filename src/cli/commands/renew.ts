import type { Command } from 'commander'
import { chosenCertificates } from '../../actions/choice.ts'
import type { Context } from '../../actions/context.ts'
import { type Rehearsed, rehearse } from '../../actions/rehearse.ts'
import { continuedBy, describe, printError, printJson, type Shell, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'
import { hasOnlyFiles, type RolloutOptions, rolloutExits, rolloutOptions, runApply, sayNotDue } from './apply.ts'

interface Options extends RolloutOptions {
  readonly force?: boolean
  readonly rekey?: boolean
  readonly dryRun?: boolean
}

export function renewCommand(program: Command, shell: Shell): void {
  const command = rolloutOptions(
    program
      .command('renew')
      .argument('[certificate...]', 'only these')
      .option('--force', 'although it is not due')
      .option('--rekey', 'now, with a new private key, which then travels to every server, and new session ticket keys')
      .option('--dry-run', 'say what would happen, order nothing; what is due or forced is rehearsed')
      .summary('renew what is due and roll it out; say when the rest will be due'),
  ).description(
    [
      'Renews the certificates that are due, and rolls them out. The others are left alone, and so are their servers.',
      'The key is kept inside keep-for: then no private key travels.',
      'A rehearsal asks no CA: answers to challenges are put in place, looked at as the CA would, and taken away.',
    ].join('\n'),
  )
  describe(
    command,
    ['onecert renew', 'onecert renew www --force', 'onecert renew www --rekey', 'onecert renew www --force --dry-run'],
    rolloutExits,
  ).action((certificates: string[], options: Options) =>
    withContext(shell, command, async (context, json) => {
      const { force = false, rekey = false } = options
      if (options.dryRun) return runRehearsal(shell, context, json, certificates, { force, rekey })
      // What it has issued is to be rolled out; the same command again would issue another one.
      await runApply(shell, context, json, certificates, options, { force, rekey, dueOnly: !force && !rekey }).catch(
        continuedBy(['onecert apply', ...certificates].join(' ')),
      )
    }),
  )
}

async function runRehearsal(
  shell: Shell,
  context: Context,
  json: boolean,
  certificates: readonly string[],
  asked: { readonly force: boolean; readonly rekey: boolean },
): Promise<void> {
  const all: Rehearsed[] = []
  for (const certificate of chosenCertificates(context.fleet, { certificates }))
    all.push(await rehearse(context, certificate, asked))
  if (json) printJson(shell.terminal, { certificates: all.map(rehearsedJson) })
  for (const each of all) {
    if (!json) printRehearsed(each, context, shell.terminal)
    if (!each.later) continue
    shell.exit = each.later.exit
    if (!json) printError(each.later, shell.terminal, { json, debug: false })
  }
}

function printRehearsed(
  { certificate, generation, wanted, dueMs, issuer, rehearsals }: Rehearsed,
  { fleet }: Context,
  terminal: Terminal,
): void {
  const name = terminal.style('bold', certificate.name)
  const files = hasOnlyFiles(certificate, fleet)
  if (generation !== null && files)
    terminal.out(`${name}: a newer certificate in the files of ${issuer} would be taken`)
  else if (generation !== null && wanted === null) terminal.out(`${name}: ${sayNotDue(certificate, generation, dueMs)}`)
  else terminal.out(`${name}: ${issuer} would be asked for a new certificate, because ${wanted}`)
  for (const { issuer: tried, proofs } of rehearsals) {
    const how = proofs.map((proof) => `${proof.name} (${proof.type})`).join(', ')
    terminal.out(`  ${tried} was not asked; what it would look for was seen: ${how}`)
  }
}

function rehearsedJson({ certificate, wanted, dueMs, generation, later, rehearsals }: Rehearsed) {
  return {
    certificate: certificate.name,
    generation,
    wanted,
    due: dueMs && new Date(dueMs).toISOString(),
    ...(later && { later: later.toJSON() }),
    rehearsals: rehearsals.map(({ issuer, proofs }) => ({
      issuer,
      proofs: proofs.map(({ name, type }) => ({ name, type })),
    })),
  }
}
