import type { Command } from 'commander'
import { type CertbotImport, fleetEntries, readCertbot } from '../../actions/import-certbot.ts'
import { fail, quote } from '../../base/errors.ts'
import { addEntries } from '../../fleet/edit/entries.ts'
import { type Additions, entriesText } from '../../fleet/entries.ts'
import { parseFleetText, readFleetText, writeFleetText } from '../fleet-file.ts'
import { openFleet } from '../open.ts'
import type { Settings } from '../settings.ts'
import { describe, printJson, type Shell, settingsFor, usageExit } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

const certbotDirectory = '/etc/letsencrypt'

interface Options {
  readonly fromCertbot?: string | true
  readonly write?: boolean
}

export function importCommand(program: Command, shell: Shell): void {
  const command = program
    .command('import')
    .option('--from-certbot [directory]', `what certbot has (default: ${certbotDirectory})`)
    .option('--write', 'add the lines to the fleet file; what is in it stays as it is')
    .summary('propose lines of the fleet file for what another client has')
    .description(
      'Prints lines for the fleet file: an issuer that watches what certbot keeps, and a certificate, for each of its lineages. Private keys are not opened; certbot goes on as before.',
    )
  describe(
    command,
    ['onecert import --from-certbot', 'onecert import --from-certbot=/srv/letsencrypt --write'],
    [
      usageExit,
      { status: 65, when: 'there is nothing to take over' },
      { status: 73, when: 'the fleet file has entries of these names, or cannot be written' },
      { status: 77, when: 'what is there cannot be read' },
      { status: 78, when: 'the fleet file is missing or wrong, or would be' },
    ],
  ).action(async ({ fromCertbot, write }: Options) => {
    const { settings, json } = settingsFor(command)
    if (fromCertbot === undefined) {
      fail('USAGE', { what: 'nothing to import from', next: 'onecert import --from-certbot' })
    }
    const found = await readCertbot(fromCertbot === true ? certbotDirectory : fromCertbot)
    const entries = fleetEntries(found)
    if (write) await writeEntries(settings, entries)
    if (json) printJson(shell.terminal, importJson(found, entries, write ?? false))
    else print(found, entries, shell.terminal, write ? settings.fleetFile : null)
  })
}

/** Nothing is written but a fleet file that is valid before and after. */
async function writeEntries(settings: Settings, entries: Additions): Promise<void> {
  await openFleet(settings)
  const edited = addEntries(await readFleetText(settings), entries)
  parseFleetText(edited, settings)
  await writeFleetText(edited, settings)
}

function print(found: CertbotImport, entries: Additions, terminal: Terminal, written: string | null): void {
  const remarks = [
    ...found.skipped.map(({ failure: { what, fact } }) => `not taken over: ${what}${fact ? ` (${fact})` : ''}`),
    ...(found.hookFiles.length > 0
      ? [`certbot runs ${found.hookFiles.map((each) => quote(each)).join(', ')} for all; these are not taken over`]
      : []),
  ]
  if (written === null) {
    terminal.out(`# From ${quote(found.directory, 200)}. certbot goes on renewing; onecert carries what it keeps.`)
    for (const remark of remarks) terminal.out(`# ${remark}`)
    terminal.out(entriesText(entries).trimEnd())
    terminal.out('# Then the servers, and the sites that they serve: docs/guides/beside-certbot.md')
    return
  }
  for (const { entry, names } of found.lineages) terminal.out(`added ${entry}: ${names.join(', ')}`)
  for (const remark of remarks) terminal.out(remark)
  terminal.out(`next: add servers and sites to ${written}, then: onecert check; onecert plan`)
}

function importJson(found: CertbotImport, entries: Additions, written: boolean): Record<string, unknown> {
  const values = (section: 'issuers' | 'certificates') =>
    Object.fromEntries(entries[section].map(({ name, value }) => [name, value]))
  return {
    directory: found.directory,
    issuers: values('issuers'),
    certificates: values('certificates'),
    lineages: found.lineages.map(({ notAfterMs, ...lineage }) => ({
      ...lineage,
      notAfter: new Date(notAfterMs).toISOString(),
    })),
    skipped: found.skipped,
    hookFiles: found.hookFiles,
    written,
  }
}
