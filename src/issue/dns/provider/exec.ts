import { spawn } from 'node:child_process'
import { fail, quote, systemCode } from '../../../base/errors.ts'
import { zoneOf } from '../../../dns/authority.ts'
import type { Resolver } from '../../../dns/resolver.ts'
import type { DnsProvider, TxtRecord } from './provider.ts'

export interface ExecSettings {
  /** The program and its first words. */
  readonly exec: readonly [string, ...string[]]
  /** Default: 2 minutes. */
  readonly timeoutMs?: number
}

const timeoutDefaultMs = 120_000
/** What was written before the end may still be on its way. */
const lastWordsMs = 500
const outputCharactersMax = 16 * 1024
const linesShown = 3
const lineCharactersMax = 200
/** sysexits.h EX_TEMPFAIL. */
const tryLater = 75

/** All that it sees of our environment. Credentials are its own business: it reads them from its own files. */
const environmentNames = ['PATH', 'HOME', 'LANG']

/**
 * Any program: `program words… add|remove`, with ONECERT_DNS_NAME, ONECERT_DNS_VALUE and ONECERT_DNS_ZONE in its
 * environment. They are public: the DNS shows them to everybody. Exit status 0: done; 75: not now; anything else: failed.
 */
export function exec(settings: ExecSettings, resolver: Resolver): DnsProvider {
  const call = async (act: 'add' | 'remove', record: TxtRecord, signal: AbortSignal) => {
    const zone = await zoneOf(record.name, resolver, signal)
    const { exec: argv, timeoutMs = timeoutDefaultMs } = settings
    const outcome = await run([...argv, act], environmentOf(record, zone), timeoutMs, signal)
    signal.throwIfAborted()
    if (outcome.status === 0) return
    const said = outcome.output.trimEnd().split('\n').slice(-linesShown)
    const lines = said.map((line) => quote(line, lineCharactersMax)).join(' / ')
    fail(outcome.status === tryLater ? 'DNS_PROVIDER_BUSY' : 'DNS_PROVIDER_FAILED', {
      what: `${argv[0]} ${act} failed for ${record.name}`,
      fact: `${outcome.end}${lines === '' ? '' : `; it said: ${lines}`}`,
      next: `try it by hand: ONECERT_DNS_NAME=${record.name} ONECERT_DNS_VALUE=test ONECERT_DNS_ZONE=${zone} ${argv.join(' ')} ${act}`,
    })
  }
  return {
    add: (record, signal) => call('add', record, signal),
    remove: (record, signal) => call('remove', record, signal),
  }
}

function environmentOf({ name, value }: TxtRecord, zone: string): Record<string, string> {
  const ours = environmentNames.flatMap((each) => (process.env[each] ? [[each, process.env[each]]] : []))
  return {
    ...Object.fromEntries(ours),
    ONECERT_DNS_NAME: name,
    ONECERT_DNS_VALUE: value,
    ONECERT_DNS_ZONE: zone,
  }
}

interface Outcome {
  /** null: it did not end by itself. */
  readonly status: number | null
  readonly end: string
  readonly output: string
}

function run(
  [program = '', ...words]: readonly string[],
  env: Record<string, string>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve) => {
    // A group of its own, so that what it started ends with it.
    const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    const keep = (text: string) => {
      output = (output + text).slice(-outputCharactersMax)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    let killed: string | null = null
    // What it left behind may hold the pipes open for ever.
    const closePipes = () => {
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const kill = (reason: string) => {
      killed ??= reason
      if (child.pid !== undefined) killGroup(child.pid)
      closePipes()
    }
    child.on('exit', () => setTimeout(closePipes, lastWordsMs).unref())
    const timer = setTimeout(() => kill(`ended after ${timeoutMs} ms, the limit`), timeoutMs)
    const abort = () => kill('ended: interrupted')
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    const finish = (status: number | null, end: string) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      resolve({ status: killed === null ? status : null, end: killed ?? end, output })
    }
    child.on('error', (error: NodeJS.ErrnoException) =>
      finish(null, `it cannot be started: ${error.code ?? error.message}`),
    )
    child.on('close', (status, by) => finish(status, status === null ? `ended by ${by}` : `exit status ${status}`))
  })
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}
