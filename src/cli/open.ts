import { hostname, userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Context } from '../actions/context.ts'
import { systemClock } from '../base/clock.ts'
import { readBounded } from '../base/durable.ts'
import { fail, OnecertError } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'
import { Secret } from '../base/secret.ts'
import { parseFleet } from '../fleet/document.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { openLedger } from '../ledger/ledger.ts'
import { localReach } from '../reach/local.ts'
import { sshReach } from '../reach/ssh.ts'
import type { Report } from '../rollout/progress.ts'
import { thisHolder } from '../store/holder.ts'
import { openStore } from '../store/sqlite.ts'
import { openIdentity } from '../vault/identity.ts'
import { openVault, type Vault } from '../vault/vault.ts'
import { askPassphrase } from './prompt.ts'
import type { Settings } from './settings.ts'

/** Reads and validates the fleet file. @throws OnecertError CONFIG_*, INPUT_* */
export async function openFleet(settings: Settings): Promise<Fleet> {
  const path = resolve(settings.fleetFile)
  const text = await readBounded(path, { bytesMax: inputBytesMax }).catch((error: unknown) => {
    if (!(error instanceof OnecertError && error.code === 'INPUT_NOT_FOUND')) throw error
    return fail('CONFIG_NOT_FOUND', {
      what: `there is no fleet file ${settings.fleetFile}`,
      next: 'onecert init, or name it: onecert --fleet FILE …',
    })
  })
  return parseFleet(text, { file: settings.fleetFile, directory: dirname(path) })
}

/** Everything that the verbs need, wired by hand. Close it at the end. */
export async function openContext(
  settings: Settings,
  options: { readonly signal: AbortSignal; readonly report: Report },
): Promise<Context & AsyncDisposable> {
  const fleet = await openFleet(settings)
  const store = await openStore(settings.stateDirectory)
  const actor = `${accountName()}@${hostname()}`
  const clock = systemClock
  const ssh = sshReach()
  const ledger = openLedger(store, { clock, actor })
  let vault: Promise<Vault> | undefined
  return {
    fleet,
    store,
    ledger,
    vault: () => {
      vault ??= openTheVault(settings)
      return vault
    },
    reachOf: (server) => (server.reach.kind === 'ssh' ? ssh : localReach),
    clock,
    actor,
    holder: thisHolder(),
    ...options,
    async [Symbol.asyncDispose]() {
      try {
        await ledger.settled()
      } finally {
        await store.close()
      }
    },
  }
}

async function openTheVault(settings: Settings): Promise<Vault> {
  const identity = await openIdentity(settings.identityFile, { passphrase: () => passphraseOf(settings) })
  return openVault(settings.vaultDirectory, identity)
}

/** From the file that was named, else from the terminal. */
export async function passphraseOf(settings: Settings): Promise<Secret<string>> {
  if (settings.passphraseFile === null) return askPassphrase('Passphrase of the vault identity: ')
  const bytes = await readBounded(settings.passphraseFile, { bytesMax: 4_096 })
  return new Secret(
    Buffer.from(bytes)
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  )
}

function accountName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid-${process.getuid?.() ?? '?'}`
  }
}
