import type { Listener } from '../../src/fleet/fleet.ts'
import type { Running } from './running.ts'

/** Software that terminates TLS, with the commands (argv, absolute paths) that a server's own operator would use. */
export interface RunningService extends Running {
  /** The configuration file. */
  readonly configuration: string
  readonly test: readonly string[]
  readonly reload: readonly string[]
  /** Starts it again in the background, where it has died. stop() ends that one too. */
  readonly start: readonly string[]
  /** What tells its driver where it is: test and reload are then the driver's own. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where it speaks TLS at several ports, or inside of another protocol; default: `port`. */
  readonly listeners?: readonly Listener[]
}

/** What is served for some names. The files have to be there before the start. */
export interface TlsSite {
  readonly names: readonly [string, ...string[]]
  /** Leaf and intermediates. */
  readonly chain: string
  readonly key: string
}

/** What each starter answers over HTTP: the first name of the site. */
export function bodyOf(site: { readonly names: readonly [string, ...string[]] }): string {
  return `this is ${site.names[0]}\n`
}
