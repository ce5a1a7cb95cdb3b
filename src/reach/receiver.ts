import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fail } from '../base/errors.ts'
import type { ReceiverText } from './connection.ts'

/** What the receiver of one server may do: its settings are part of its text, so that no command travels as data. */
export interface ReceiverSettings {
  readonly directory: string
  readonly test: readonly string[]
  readonly reload: readonly string[]
  /** Tried where the service is down. Empty: none. */
  readonly start: readonly string[]
  readonly lineages: readonly LineageSettings[]
}

export interface LineageSettings {
  readonly lineage: string
  readonly layout: 'pair' | 'combined'
  /** Octal text of the files that hold the key. */
  readonly keyMode: string
  readonly owner?: string
  readonly chainPath?: string
  readonly keyPath?: string
  readonly combinedPath?: string
  /** How the service reads session ticket keys: three files of bytes, or one of three lines. Absent: it cannot. */
  readonly ticketKeys?: 'files' | 'lines'
  /** The folder that the web server serves over HTTP: answers to http-01 challenges go below it. */
  readonly webroot?: string
}

/** Where `onecert server enrol` puts the receiver. */
export const installedReceiver = '/usr/local/lib/onecert/receiver'

const body = readFileSync(new URL('receiver.sh', import.meta.url), 'utf8')

/** The receiver for one server: its settings, then the same script everywhere. */
export function receiverText(settings: ReceiverSettings): ReceiverText {
  const text = `${header(settings)}\n${body}`
  const id = createHash('sha256').update(text).digest('hex')
  return { text: `receiver_id=${id}\n${text}`, id }
}

function header(settings: ReceiverSettings): string {
  const cases = settings.lineages.map(
    (each) =>
      `    ${quoteWord(each.lineage)}) layout=${each.layout} key_mode=${quoteWord(each.keyMode)} key_owner=${quoteWord(each.owner ?? '')} ` +
      `chain_path=${quoteWord(each.chainPath ?? '')} key_path=${quoteWord(each.keyPath ?? '')} ` +
      `combined_path=${quoteWord(each.combinedPath ?? '')} ticket_keys=${quoteWord(each.ticketKeys ?? '')} webroot=${quoteWord(each.webroot ?? '')} ;;`,
  )
  return [
    `directory=${quoteWord(settings.directory)}`,
    `test_command() { ${command(settings.test, '$test_seconds')}; }`,
    `reload_command() { ${command(settings.reload, '$reload_seconds')}; }`,
    `start_command() { ${command(settings.start, '$reload_seconds')}; }`,
    'lineage_settings() {',
    '  case $1 in',
    ...cases,
    '    *) return 1 ;;',
    '  esac',
    '}',
  ].join('\n')
}

function command(argv: readonly string[], seconds: string): string {
  return argv.length === 0 ? ':' : `timeout "${seconds}" ${argv.map(quoteWord).join(' ')}`
}

/** One word for sh. Control characters have no business in a path or an argument. */
function quoteWord(word: string): string {
  if (/\p{Cc}/u.test(word))
    fail('CONFIG_BAD_VALUE', { what: 'a control character in a path or a command of the fleet file' })
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/**
 * The command that starts a receiver that is sent along: no quote characters but single ones and no line ends, so that
 * sh, bash, csh and fish pass it on alike.
 */
export function bootstrap(text: string): string {
  const encoded = Buffer.from(text).toString('base64')
  return `sh -c 'onecert_text=$(printf %s ${encoded} | base64 -d); eval "$onecert_text"' onecert-receiver`
}
