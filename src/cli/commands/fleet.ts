import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { writeDurably } from '../../base/durable.ts'
import { jsonSchema } from '../../fleet/schema.ts'
import { fleetTemplate } from '../../fleet/template.ts'
import { createIdentity } from '../../vault/identity.ts'
import { openFleet, passphraseOf } from '../open.ts'
import { askNewPassphrase } from '../prompt.ts'
import { describe, printJson, type Shell, settingsFor, usageExit } from '../shell.ts'

export function initCommand(program: Command, shell: Shell): void {
  const command = program
    .command('init')
    .option('--passphrase', 'protect the vault identity with a passphrase (asked for, or from --passphrase-file)')
    .summary('write a commented fleet file and make the vault identity')
    .description('Writes a commented fleet file and makes the vault identity. What is there already is left as it is.')
  describe(
    command,
    ['onecert init', 'onecert init --passphrase --passphrase-file /root/passphrase'],
    [usageExit, { status: 73, when: 'a file cannot be made' }],
  ).action(async (options: { passphrase?: boolean }) => {
    const { settings, json } = settingsFor(command)
    const made: string[] = []
    const kept: string[] = []
    if (existsSync(settings.fleetFile)) kept.push(settings.fleetFile)
    else {
      await writeDurably(resolve(settings.fleetFile), Buffer.from(fleetTemplate()), { mode: 0o644 })
      made.push(settings.fleetFile)
    }
    if (existsSync(settings.identityFile)) kept.push(settings.identityFile)
    else {
      const passphrase = settings.passphraseFile
        ? await passphraseOf(settings)
        : options.passphrase
          ? await askNewPassphrase()
          : null
      await createIdentity(settings.identityFile, passphrase ? { passphrase } : {})
      made.push(settings.identityFile)
    }
    if (json) return printJson(shell.terminal, { made, kept })
    for (const file of made) shell.terminal.out(`made ${file}`)
    for (const file of kept) shell.terminal.out(`kept ${file}, which was there`)
    if (made.includes(settings.identityFile)) {
      shell.terminal.out(`${settings.identityFile} opens the vault: back it up where the vault is not`)
    }
    shell.terminal.out(`next: edit ${settings.fleetFile}, then: onecert check; onecert plan`)
  })
}

export function checkCommand(program: Command, shell: Shell): void {
  const command = program
    .command('check')
    .summary('validate the fleet file')
    .description('Validates the fleet file: every problem with its line.')
  describe(
    command,
    ['onecert check', 'onecert --fleet fleet.yaml check'],
    [usageExit, { status: 78, when: 'the fleet file is wrong' }],
  ).action(async () => {
    const { settings, json } = settingsFor(command)
    const fleet = await openFleet(settings)
    const counts = {
      certificates: fleet.certificates.size,
      servers: fleet.servers.size,
      sites: fleet.sites.size,
      issuers: fleet.issuers.size,
    }
    if (json) return printJson(shell.terminal, { ok: true, file: settings.fleetFile, ...counts })
    const text = Object.entries(counts).map(
      ([what, count]) => `${count} ${count === 1 ? what.replace(/s$/, '') : what}`,
    )
    shell.terminal.out(`${settings.fleetFile} is valid: ${text.join(', ')}`)
  })
}

export function schemaCommand(program: Command, shell: Shell): void {
  const command = program
    .command('schema')
    .summary('print the JSON Schema of the fleet file, for editors')
    .description('Prints the JSON Schema of the fleet file. Editors check and complete with it.')
  describe(command, ['onecert schema > onecert.schema.json'], [usageExit]).action(() =>
    printJson(shell.terminal, jsonSchema()),
  )
}
