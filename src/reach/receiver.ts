import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fail } from '../base/errors.ts'
import type { FileLayout } from '../fleet/fleet.ts'
import type { ReceiverText } from './connection.ts'
import { receiverSeconds } from './limits.ts'

/** What the receiver of one server may do: its settings are part of its text, so that no command travels as data. */
export interface ReceiverSettings {
  readonly directory: string
  readonly test: readonly string[]
  readonly reload: readonly string[]
  /** Tried where the service is down. Empty: none. */
  readonly start: readonly string[]
  /** Where copies of private keys are looked for, beside `directory`; of characters that need no quoting. */
  readonly keyFolders: readonly string[]
  /** Absent: the test may look at other files than those that a process here sees. */
  readonly sealing?: SealingSettings
  /** HAProxy's Runtime API: files are put into its memory in place of a reload. */
  readonly socket?: string
  readonly lineages: readonly LineageSettings[]
  /** The software of the server, as the fleet file calls it. */
  readonly kind: string
  /** By software: the command that prints its configuration, or the names of its files. */
  readonly dumps: Readonly<Record<string, readonly string[]>>
  /** The include files that are ours, by name; absolute paths. */
  readonly includes: Readonly<Record<string, string>>
  /** The fleet file names their folder: then an installed receiver writes them too. */
  readonly includeNamed: boolean
  /** Absent: this machine is no balancer. */
  readonly balancer?: BalancerSettings
}

export interface BalancerSettings {
  /** Of HAProxy's Runtime API. */
  readonly socket: string
  /** `BACKEND/MEMBER`: those that may be drained. */
  readonly members: readonly string[]
}

/** How the test is run with files that nothing else sees yet. */
interface SealingSettings {
  /** Absent: in a mount namespace only. */
  readonly onCopy?: {
    /** A file or folder. */
    readonly configuration: string
    /** Words behind the program that are this path or below it are replaced by the copy's. */
    readonly test: readonly string[]
  }
}

export interface LineageSettings {
  readonly lineage: string
  readonly layout: FileLayout
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

/** What a receiver is needed for. */
export type Purpose = 'rollout' | 'removal' | 'challenge' | 'audit' | 'configuration' | 'balancer' | 'enrol'

/** The files of receiver/ that each needs, between core.sh and session.sh. */
const filesFor: Readonly<Record<Purpose, readonly string[]>> = {
  rollout: ['rollout', 'haproxy'],
  removal: ['removal'],
  challenge: ['challenge'],
  audit: ['audit', 'discover'],
  configuration: ['configuration', 'discover', 'haproxy'],
  balancer: ['haproxy', 'balancer'],
  enrol: ['enrol'],
}
const all = [...new Set(Object.values(filesFor).flat())].sort()
const scripts = new Map(
  ['core', ...all, 'session'].map((name) => [
    name,
    readFileSync(new URL(`receiver/${name}.sh`, import.meta.url), 'utf8'),
  ]),
)

/**
 * The receiver for one server: its settings, then what is needed of the same scripts everywhere. Sent along, it is as short as
 * its purpose allows; an installed one has all. Both have the same identity.
 */
export function receiverText(settings: ReceiverSettings, purpose?: Purpose): ReceiverText {
  const compose = (files: readonly string[]) =>
    [header(settings), ...['core', ...files, 'session'].map((name) => scripts.get(name) ?? '')].join('\n')
  const id = createHash('sha256').update(compose(all)).digest('hex')
  return { text: `receiver_id=${id}\n${compose(purpose === undefined ? all : filesFor[purpose])}`, id }
}

function header(settings: ReceiverSettings): string {
  const cases = settings.lineages.map(
    (each) =>
      `    ${quoteWord(each.lineage)}) layout=${each.layout} key_mode=${quoteWord(each.keyMode)} key_owner=${quoteWord(each.owner ?? '')} ` +
      `chain_path=${quoteWord(each.chainPath ?? '')} key_path=${quoteWord(each.keyPath ?? '')} ` +
      `combined_path=${quoteWord(each.combinedPath ?? '')} ticket_keys=${quoteWord(each.ticketKeys ?? '')} webroot=${quoteWord(each.webroot ?? '')} ;;`,
  )
  const onCopy = settings.sealing?.onCopy
  return [
    Object.entries(receiverSeconds)
      .map(([name, seconds]) => `${name}_seconds=${seconds}`)
      .join(' '),
    `directory=${quoteWord(settings.directory)}`,
    `key_folders=${quoteWord(settings.keyFolders.join(' '))}`,
    `sealable=${settings.sealing ? 'yes' : ''} configuration=${quoteWord(onCopy?.configuration ?? '')}`,
    // Words that are given begin the command.
    `test_command() { "$@" ${command(settings.test, '$test_seconds')}; }`,
    `copy_command() { ${command(onCopy?.test ?? [], '$test_seconds', onCopy?.configuration)}; }`,
    `socket=${quoteWord(settings.socket ?? '')}`,
    `reload_command() { ${command(settings.reload, '$reload_seconds')}; }`,
    `start_command() { ${command(settings.start, '$reload_seconds')}; }`,
    `service_kind=${quoteWord(settings.kind)}`,
    'dump_command() {',
    '  case $1 in',
    ...Object.entries(settings.dumps).map(([kind, argv]) => `    ${kind}) ${command(argv, '$test_seconds')} ;;`),
    '    *) return 1 ;;',
    '  esac',
    '}',
    `include_named=${settings.includeNamed ? 'yes' : 'no'}`,
    `include_paths() { ${printed(Object.values(settings.includes).filter((path) => path !== ''))}; }`,
    'include_settings() {',
    '  case $1 in',
    ...Object.entries(settings.includes).map(
      ([name, path]) => `    ${quoteWord(name)}) include_path=${quoteWord(path)} ;;`,
    ),
    '    *) return 1 ;;',
    '  esac',
    '}',
    'lineage_settings() {',
    '  case $1 in',
    ...cases,
    '    *) return 1 ;;',
    '  esac',
    '}',
    `haproxy_socket=${quoteWord(settings.balancer?.socket ?? '')}`,
    `balanced() { case $1 in ${(settings.balancer?.members ?? []).map((member) => `${quoteWord(member)}) ;; `).join('')}*) return 1 ;; esac; }`,
  ].join('\n')
}

function command(argv: readonly string[], seconds: string, copied?: string): string {
  const words = argv.map((word, at) =>
    at > 0 && copied !== undefined && `${word}/`.startsWith(`${copied}/`)
      ? `"$copy"${quoteWord(word.slice(copied.length))}`
      : quoteWord(word),
  )
  return argv.length === 0 ? ':' : `timeout "${seconds}" ${words.join(' ')}`
}

/** A command that prints them, one a line. */
function printed(words: readonly string[]): string {
  return words.length === 0 ? ':' : `printf '%s\\n' ${words.map(quoteWord).join(' ')}`
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
