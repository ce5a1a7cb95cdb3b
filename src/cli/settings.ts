import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fail } from '../base/errors.ts'

/** Options that every command takes. */
export interface GlobalOptions {
  readonly fleet?: string
  readonly state?: string
  readonly identity?: string
  readonly passphraseFile?: string
  readonly json?: boolean
  readonly debug?: boolean
}

/** Where things are, before anything is opened. Paths are absolute but for `fleetFile`, which is as the user typed it. */
export interface Settings {
  readonly fleetFile: string
  readonly stateDirectory: string
  readonly vaultDirectory: string
  readonly identityFile: string
  readonly passphraseFile: string | null
}

export interface Surroundings {
  readonly uid: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

const systemFleetFile = '/etc/onecert/onecert.yaml'

/** `/var/lib/onecert` for root, the XDG directories otherwise, `--state DIR` for any other; the identity beside none but the last. */
export function settingsOf(options: GlobalOptions, { uid, environment }: Surroundings): Settings {
  const home = environment.HOME
  const homeOr = (variable: string, below: string): string => {
    const directory = environment[variable]
    if (directory) return join(directory, 'onecert')
    if (!home) {
      fail('USAGE', {
        what: 'no place for the state',
        fact: `neither HOME nor ${variable} is set`,
        next: 'onecert --state DIR …',
      })
    }
    return join(home, below, 'onecert')
  }
  const root = uid === 0
  const state = options.state
    ? resolve(options.state)
    : root
      ? '/var/lib/onecert'
      : homeOr('XDG_STATE_HOME', '.local/state')
  const configuration = options.state ? state : root ? '/etc/onecert' : homeOr('XDG_CONFIG_HOME', '.config')
  const fleet =
    options.fleet ??
    (root && !existsSync('onecert.yaml') && existsSync(systemFleetFile) ? systemFleetFile : 'onecert.yaml')
  return {
    fleetFile: fleet,
    stateDirectory: state,
    vaultDirectory: join(state, 'vault'),
    identityFile: options.identity ? resolve(options.identity) : join(configuration, 'identity'),
    passphraseFile: options.passphraseFile ? resolve(options.passphraseFile) : null,
  }
}
