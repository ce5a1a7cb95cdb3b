import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../base/catalogue.ts'
import { quote } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import type { Machine } from '../fleet/fleet.ts'

/** A way to a server. One connection per server and rollout: one process, verbs on its stdin, answers on its stdout. */
export interface Reach {
  /**
   * Opens the connection and waits for the receiver's greeting.
   * @throws OnecertError SSH_*, SUDO_*, RECEIVER_*: nothing was sent beyond the receiver's text.
   */
  open(server: Machine, options: OpenOptions): Promise<Connection>
}

export interface OpenOptions {
  /** The receiver as it is to run there: text and identity (see receiver.ts). */
  readonly receiver: ReceiverText
  /** A private key may travel: the post-quantum key exchange is put first. */
  readonly carriesKey: boolean
  /** Not even where sudo is: an installed receiver is left alone, for this one is to replace it. */
  readonly sentAlong?: boolean
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface ReceiverText {
  /** POSIX sh; holds the server's configuration, no secret. */
  readonly text: string
  /** SHA-256 (hex) of the text: an installed receiver that greets with another one is outdated. */
  readonly id: string
}

export interface Connection {
  /** How the bytes travel, for the ledger: `local` or `ssh <key exchange>`. */
  readonly way: string
  /** Sends one verb and waits for its answer; several are done in turn. Words are [A-Za-z0-9._:/=+@,-]+. */
  request(verb: string, words: readonly string[], options?: RequestOptions): Promise<Answer>
  /**
   * Several verbs in one round trip: one that fails is the last that is done. Each is on its way before the answer of the
   * one before it is here.
   * @returns the answers up to the first refusal, and it
   */
  requests(verbs: readonly Verb[]): Promise<Answer[]>
  /** Bytes written to the receiver so far, and how many of them were private keys. */
  readonly sent: { readonly bytes: number; readonly secretBytes: number }
  /** A TCP stream to `address:port` as seen from the server; null where the connection cannot forward. */
  forward(address: string, port: number): Promise<Duplex | null>
  /** Whether the server let no forward through so far, where that is known: a stream of one just ends. */
  forwardsForbidden(): boolean
  close(): Promise<void>
}

export interface Verb extends RequestOptions {
  readonly verb: string
  readonly words?: readonly string[]
}

export interface RequestOptions {
  /** Lines sent after the verb, up to a line `.`. */
  readonly payload?: string | Secret<string>
  /** For the answer; absent: what the verb may take. */
  readonly timeoutMs?: number
}

/** What the receiver said: `ok` with facts, or a refusal. */
export interface Answer {
  readonly ok: boolean
  /** Refusals: a code of the error catalogue. */
  readonly code?: ErrorCode
  /** `key=value` words of the last line. */
  readonly facts: ReadonlyMap<string, string>
  /** Lines of output (a service's own words), already cut to the last 20. */
  readonly output: readonly string[]
}

/** What the receiver or a service said there, cut and safe to print; empty: nothing. */
export function outputText({ output }: Pick<Answer, 'output'>, between = '\n'): string {
  return output.map((line) => quote(line, 200)).join(between)
}

/** A fact that is a list, such as `purged=gen-0001,gen-0002`; empty: it is not there. */
export function factList(facts: Answer['facts'], name: string): string[] {
  return (facts.get(name) ?? '').split(',').filter(Boolean)
}

/** Closes connections of which some may still be opening, and some may have failed to open. */
export async function closeAll(connections: Iterable<Promise<Connection>>): Promise<void> {
  await Promise.all([...connections].map(async (each) => (await each.catch(() => null))?.close()))
}
