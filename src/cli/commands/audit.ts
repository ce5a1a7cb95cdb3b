import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Audit, audit } from '../../actions/audit.ts'
import type { Repaired } from '../../actions/audit-fix.ts'
import { auditRounds } from '../../actions/audit-watch.ts'
import type { Choice } from '../../actions/choice.ts'
import type { Context } from '../../actions/context.ts'
import { auditExit, type Finding } from '../../audit/finding.ts'
import { isMendedByApply, type Tries, untried } from '../../audit/repair.ts'
import { systemClock } from '../../base/clock.ts'
import { explainWrite, writeDurably } from '../../base/durable.ts'
import { fail } from '../../base/errors.ts'
import { parseDuration } from '../../fleet/duration.ts'
import { carryOut, mendedText, repairedJson, repairLines } from '../audit/fix.ts'
import { junitOf, type Ran } from '../audit/junit.ts'
import { showAuditProgress } from '../audit/progress.ts'
import { sarifOf } from '../audit/sarif.ts'
import { auditLines } from '../audit/text.ts'
import { tellJson, tellLines } from '../audit/watch.ts'
import { fleetLines } from '../fleet-file.ts'
import { confirm, needTerminal } from '../prompt.ts'
import { configurationExit, describe, type Shell, settingsFor, usageExit, withContext } from '../shell.ts'

const formats = ['text', 'json', 'junit', 'sarif'] as const
type Format = (typeof formats)[number]

interface Options {
  readonly server?: string[]
  readonly format?: Format
  readonly out?: string
  readonly watch?: boolean
  readonly every?: number
  readonly fix?: boolean
  readonly yes?: boolean
}

const everyMs = { min: 5_000, max: 86_400_000, usual: 60_000 }

export function auditCommand(program: Command, shell: Shell): void {
  const command = program
    .command('audit')
    .argument('[certificate...]', 'only these; a site stands for its certificates')
    .option('--server <name...>', 'only these servers')
    .addOption(new Option('--format <format>', 'of the result; --json is --format json').choices(formats))
    .option('--out <file>', 'where the result goes in that format; stdout then has the text')
    .option('--watch', 'again and again until Ctrl-C: tell what changes')
    .addOption(
      new Option('--every <duration>', 'from one round of --watch to the next (default: 60s)').argParser(every),
    )
    .option('--fix', 'carry out each repair that is onecert apply, then audit again')
    .option('--yes', 'do not ask before the repairs')
    .summary('compare what should be with what lies on the servers and what they serve')
    .description(
      'Looks at the files of every server and at what the configuration of its service names, for copies of private keys, and at every address with a fresh handshake. Nothing is changed, but with --fix: then what apply can mend is mended, by the same rollout.',
    )
  describe(
    command,
    [
      'onecert audit',
      'onecert audit www --server eu-1',
      'onecert audit --format junit --out audit.xml   # for Jenkins, GitLab',
      'onecert audit --format sarif --out audit.sarif # for code scanning',
      'onecert audit --watch --every 5m',
      'onecert audit --fix                            # shows what it will do, and asks',
    ],
    [
      { status: 1, when: 'drift: something is not as it should be' },
      { status: 2, when: 'no drift was seen, but something could not be looked at' },
      usageExit,
      { status: 75, when: 'interrupted before the first result' },
      configurationExit,
    ],
  ).action(async (certificates: string[], options: Options) => {
    const { json } = settingsFor(command)
    if (json && options.format !== undefined && options.format !== 'json')
      fail('USAGE', { what: `--json and --format ${options.format} were given`, next: 'give one of them' })
    const asked: Asked = {
      ...options,
      format: options.format ?? (json ? 'json' : 'text'),
      choice: {
        ...(certificates.length > 0 && { certificates }),
        ...(options.server && { servers: options.server }),
      },
    }
    refuseContradictions(asked)
    shell.stopping = options.fix ? 'what was begun is brought to its end' : 'nothing was changed'
    if (options.watch) await watch(asked)
    else await once(asked)
  })

  interface Asked extends Options {
    readonly format: Format
    readonly choice: Choice
  }

  function refuseContradictions({ watch, every, out, format, fix, yes }: Asked): void {
    const refuse = (what: string, next: string) => fail('USAGE', { what, next })
    if (every !== undefined && !watch) refuse('--every belongs to --watch', 'onecert audit --watch --every 5m')
    if (yes && !fix) refuse('--yes belongs to --fix', 'onecert audit --fix --yes')
    if (watch && (out !== undefined || (format !== 'text' && format !== 'json')))
      refuse(
        `--watch tells what changes, and that is no ${format} file`,
        'onecert audit --watch --json, or without --watch',
      )
    if (watch && fix && !yes) refuse('with --watch nobody is there to be asked', 'onecert audit --watch --fix --yes')
    if (fix && !yes) needTerminal('onecert audit --fix --yes')
  }

  async function look(context: Context, { choice, format, out }: Asked): Promise<Audit> {
    const progress = showAuditProgress(format === 'text' || out !== undefined, () => performance.now())
    try {
      return await audit(context, choice, progress.onProgress)
    } finally {
      progress.stop()
    }
  }

  async function once(asked: Asked): Promise<void> {
    const { terminal } = shell
    await withContext(shell, command, async (context, json) => {
      const startedMs = context.clock.nowMs()
      let found = await look(context, asked)
      const due = asked.fix ? found.findings.filter(isMendedByApply) : []
      let repaired: readonly Repaired[] = []
      if (due.length > 0) {
        if (!asked.yes) await consent(due, json)
        repaired = await carryOut(context, due, asked.choice, asked.format === 'text' || asked.out ? terminal : null)
        found = await look(context, asked)
        if (asked.format === 'text') terminal.err(mendedText(due, found.findings))
      }
      shell.exit = auditExit(found.findings)
      await give(found, repaired, { startedMs, endedMs: context.clock.nowMs() }, asked)
    })
  }

  async function consent(due: readonly Finding[], json: boolean): Promise<void> {
    const { terminal } = shell
    if (!json) terminal.err('this is to be done:')
    for (const line of repairLines(due)) terminal.err(line)
    if (await confirm('Do it?', 'onecert audit --fix --yes')) return
    fail('INTERRUPTED', { what: 'nothing was repaired', state: 'nothing was changed', next: 'onecert audit' })
  }

  async function give(found: Audit, repaired: readonly Repaired[], ran: Ran, asked: Asked): Promise<void> {
    const { terminal } = shell
    const { format, out } = asked
    const text = await rendered(found, repaired, ran, asked)
    if (out === undefined && format !== 'text') terminal.out(text.trimEnd())
    else for (const line of auditLines(found, terminal)) terminal.out(line)
    if (out === undefined) return
    await writeDurably(out, Buffer.from(text), { mode: 0o644 }).catch(async (error: unknown) => {
      throw await explainWrite(error, out)
    })
  }

  async function rendered(
    found: Audit,
    repaired: readonly Repaired[],
    ran: Ran,
    { format, fix }: Asked,
  ): Promise<string> {
    const { findings, looked } = found
    const { settings } = settingsFor(command)
    const plain = { isTTY: false, columns: 100, style: (_: unknown, text: string) => text }
    if (format === 'junit') return junitOf(found, ran)
    if (format === 'text') return `${auditLines(found, plain).join('\n')}\n`
    const value =
      format === 'sarif'
        ? sarifOf(found, ran, { name: settings.fleetFile, lineOf: await fleetLines(settings) })
        : { ...(fix && { repaired: repaired.map(repairedJson) }), findings, looked }
    return `${JSON.stringify(value, null, 2)}\n`
  }

  async function watch(asked: Asked): Promise<void> {
    const { terminal, signal } = shell
    const told = asked.format === 'json' ? tellJson(terminal) : tellLines(terminal)
    let last: number | null = null
    let tries: Tries = new Map()
    await auditRounds(
      {
        everyMs: asked.every ?? everyMs.usual,
        clock: systemClock,
        random: Math.random,
        // The fleet file may have changed since.
        look: () => withContext(shell, command, (context) => look(context, asked)),
        async onRound(round) {
          last = auditExit(round.audit.findings)
          told.round(round)
          if (!asked.fix) return 'pause'
          const due = untried(round.audit.findings, tries, round.atMs)
          tries = due.tries
          if (due.findings.length === 0) return 'pause'
          told.repairing(repairLines(due.findings), due.findings, round.atMs)
          const shown = asked.format === 'text' ? terminal : null
          await withContext(shell, command, (context) => carryOut(context, due.findings, asked.choice, shown))
          return 'again'
        },
        onFailed(error, atMs) {
          last = 2
          told.failed(error, atMs)
        },
      },
      signal,
    )
    if (last === null) signal.throwIfAborted()
    shell.exit = last ?? 0
  }
}

function every(text: string): number {
  const durationMs = parseDuration(text)
  if (durationMs !== null && durationMs >= everyMs.min && durationMs <= everyMs.max) return durationMs
  throw new InvalidArgumentError('a duration from 5s to 1d is wanted, such as 60s or 5m.')
}
