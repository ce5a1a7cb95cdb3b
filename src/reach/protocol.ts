import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { ErrorCode } from '../base/catalogue.ts'
import { catalogue } from '../base/catalogue.ts'
import { fail, type OnecertError, quote } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import type { Answer, Connection, RequestOptions, Verb } from './connection.ts'
import { answerWithinMs } from './limits.ts'

/** A process whose stdin and stdout are the receiver's, on this machine or behind ssh. */
export interface ReceiverProcess {
  readonly server: string
  readonly receiverId: string
  readonly stdin: Writable
  readonly stdout: Readable
  readonly greetingTimeoutMs: number
  /** Why the process ended or stays silent. */
  explain(): Promise<OnecertError>
  /** Ends the process; resolves when it is gone. */
  end(): Promise<void>
}

const outputLinesMax = 2_000
const lineCharactersMax = 4_096
const wordGrammar = /^[A-Za-z0-9._:/=+@,-]+$/

type Speaking = Pick<Connection, 'request' | 'requests' | 'sent' | 'close'>

/**
 * Waits for the receiver's greeting and speaks its protocol (receiver/): one verb, one answer.
 * @throws OnecertError what `explain()` says, RECEIVER_OUTDATED, RECEIVER_PROTOCOL
 */
export async function speak(process: ReceiverProcess): Promise<Speaking> {
  const sent = { bytes: 0, secretBytes: 0 }
  const lines = createInterface({ input: process.stdout, crlfDelay: Number.POSITIVE_INFINITY })
  const arrived: string[] = []
  let wake: (() => void) | undefined
  let ended = false
  lines.on('line', (line) => {
    if (arrived.length < outputLinesMax) arrived.push(line.slice(0, lineCharactersMax))
    wake?.()
  })
  lines.on('close', () => {
    ended = true
    wake?.()
  })
  // A receiver that went away shows as the end of its output; the broken pipe itself says nothing more.
  process.stdin.on('error', () => {})

  async function nextLine(timeoutMs: number): Promise<string | null> {
    const deadline = setTimeout(() => wake?.(), timeoutMs)
    const until = performance.now() + timeoutMs
    try {
      while (arrived.length === 0) {
        if (ended || performance.now() >= until) return null
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return arrived.shift() ?? null
    } finally {
      clearTimeout(deadline)
      wake = undefined
    }
  }

  async function lost(): Promise<never> {
    const reason = await process.explain()
    await process.end()
    throw reason
  }

  const greeting = (await nextLine(process.greetingTimeoutMs)) ?? (await lost())
  const [name, version, id] = greeting.split(' ')
  if (name !== 'onecert-receiver') {
    await process.end()
    fail('RECEIVER_PROTOCOL', {
      what: `${process.server} did not answer as a receiver`,
      fact: `its first line was "${quote(greeting)}"`,
      state: 'nothing was sent',
      next: `look for output in the login scripts of that account (a shell that is not interactive must print nothing)`,
    })
  }
  if (version !== '1' || id !== process.receiverId) {
    await process.end()
    fail('RECEIVER_OUTDATED', {
      what: `the receiver installed on ${process.server} is not the one that the fleet file asks for`,
      fact: `installed ${quote(`${version} ${id?.slice(0, 12)}`)}, wanted 1 ${process.receiverId.slice(0, 12)}`,
      state: `nothing was changed on ${process.server}`,
      next: `onecert server enrol ${process.server}, with an account that may do more than run the receiver (--as)`,
    })
  }

  function line({ verb, words = [], payload }: Verb, linked: boolean): string {
    for (const word of words) {
      if (!wordGrammar.test(word)) {
        fail('INTERNAL', { what: `a word that the receiver cannot take in "${verb}"`, fact: quote(word) })
      }
    }
    const head = `${[...(linked ? ['+'] : []), verb, ...words].join(' ')}\n`
    if (payload === undefined) return head
    const secret = payload instanceof Secret
    const text = secret ? payload.reveal() : payload
    const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`
    if (secret) sent.secretBytes += Buffer.byteLength(ended)
    return `${head}${ended}.\n`
  }

  async function answer({ verb, timeoutMs = answerWithinMs(verb) }: Verb): Promise<Answer> {
    const output: string[] = []
    for (;;) {
      const line = (await nextLine(timeoutMs)) ?? (await lost())
      if (line.startsWith(': ')) output.push(line.slice(2))
      else if (line === 'ok' || line.startsWith('ok ')) return { ok: true, facts: facts(line), output }
      else if (line.startsWith('fail ')) return { ok: false, code: code(line), facts: facts(line), output }
      else fail('RECEIVER_PROTOCOL', { what: `${process.server} said something unexpected`, fact: quote(line) })
    }
  }

  let turn: Promise<unknown> = Promise.resolve()

  /** Answers come in the order of the verbs: who asks while another one waits has its turn behind it. */
  function requests(verbs: readonly Verb[]): Promise<Answer[]> {
    const answers = turn.then(() => exchange(verbs))
    turn = answers.catch(() => {})
    return answers
  }

  async function exchange(verbs: readonly Verb[]): Promise<Answer[]> {
    // One write, however much it is: each wakes ssh, sshd and the receiver.
    const whole = verbs.map((verb, at) => line(verb, at > 0)).join('')
    sent.bytes += Buffer.byteLength(whole)
    process.stdin.write(whole)
    const answers: Answer[] = []
    for (const verb of verbs) answers.push(await answer(verb))
    const refused = answers.findIndex(({ ok }) => !ok)
    return refused === -1 ? answers : answers.slice(0, refused + 1)
  }

  async function request(verb: string, words: readonly string[], options: RequestOptions = {}): Promise<Answer> {
    const [only] = await requests([{ verb, words, ...options }])
    return only as Answer
  }

  return {
    sent,
    request,
    requests,
    async close() {
      process.stdin.end()
      await process.end()
    },
  }
}

function facts(line: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const word of line.split(' ').slice(1)) {
    const equals = word.indexOf('=')
    if (equals > 0) found.set(word.slice(0, equals), word.slice(equals + 1))
  }
  return found
}

function code(line: string): ErrorCode {
  const word = line.split(' ')[1] ?? ''
  return Object.hasOwn(catalogue, word) ? (word as ErrorCode) : 'RECEIVER_PROTOCOL'
}
