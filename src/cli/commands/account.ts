import { type Command, Option } from 'commander'
import { type AccountChange, type AccountStatus, account } from '../../actions/account.ts'
import { fail, quote } from '../../base/errors.ts'
import { txtText } from '../../issue/dns/persist.ts'
import { snippetKinds, statelessSnippet } from '../../services/config/challenge.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly contact?: boolean
  readonly rollover?: boolean
  readonly deactivate?: boolean
  readonly snippet?: string
}

export function accountCommand(program: Command, shell: Shell): void {
  const command = program
    .command('account')
    .argument('<issuer>', 'an ACME issuer of the fleet file')
    .option('--contact', 'tell the CA the e-mail addresses of the fleet file')
    .option('--rollover', 'a new account key; the account stays')
    .option('--deactivate', 'for ever: the CA takes nothing from it any more')
    .addOption(
      new Option('--snippet <software>', 'configuration that answers http-01 by itself')
        .choices(snippetKinds)
        .conflicts(['contact', 'rollover', 'deactivate']),
    )
    .summary('show or change the account at a CA; it is made where there is none')
    .description(
      'Shows the account that an issuer has at its CA, or changes it. It is made, and the terms of the CA agreed to, where there is none.',
    )
  describe(
    command,
    [
      'onecert account letsencrypt',
      'onecert account letsencrypt --json',
      'onecert account letsencrypt --snippet nginx > /etc/nginx/snippets/acme.conf',
    ],
    [
      usageExit,
      { status: 69, when: 'the CA cannot be reached' },
      { status: 75, when: 'not now: the CA limits requests, or somebody else changes the account' },
      { status: 77, when: 'the CA refuses' },
      configurationExit,
    ],
  ).action((issuer: string, options: Options) =>
    withContext(shell, command, async (context, json) => {
      const found = await account(context, issuer, changeOf(options))
      if (options.snippet !== undefined) shell.terminal.out(statelessSnippet(options.snippet, found.thumbprint))
      else if (json) printJson(shell.terminal, found)
      else print(found, shell.terminal)
    }),
  )
}

function changeOf({ contact, rollover, deactivate }: Options): AccountChange {
  const asked = { contact, rollover, deactivate }
  const [first = 'none', ...others] = (['contact', 'rollover', 'deactivate'] as const).filter((each) => asked[each])
  if (others.length > 0)
    fail('USAGE', { what: `--${[first, ...others].join(' and --')} are two things`, next: 'one after the other' })
  return first
}

function print(
  { issuer, directory, url, status, contact, thumbprint, termsOfService, profiles, records }: AccountStatus,
  terminal: Terminal,
): void {
  terminal.out(`${terminal.style('bold', issuer)}: ${status}`)
  terminal.out(`  directory   ${directory}`)
  terminal.out(`  account     ${quote(url, 200)}`)
  terminal.out(`  contact     ${quote(contact.join(', '), 200) || 'none'}`)
  terminal.out(`  thumbprint  ${thumbprint}`)
  if (termsOfService) terminal.out(`  terms       ${quote(termsOfService, 200)}`)
  for (const [name, description] of Object.entries(profiles))
    terminal.out(`  profile     ${quote(name)}: ${quote(description, 200)}`)
  if (records === null) terminal.out('  records     the CA names them with the first order: onecert issue')
  else if (records.length > 0) terminal.out('  records     to be set in the DNS once, for dns-persist-01:')
  // Lines of a zone file, to be copied.
  for (const { name, value } of records ?? []) terminal.out(`${name}. TXT ${quote(txtText(value), 1_000)}`)
}
