import type { WriteStream } from 'node:tty'
import { listed } from '../pki/text.ts'
import type { ProgressEvent, Report, ServerOutcome, Step } from '../rollout/progress.ts'
import type { Terminal } from './terminal.ts'

/** Shows a rollout while it runs: a live line a server on a terminal, one plain line when a server ended otherwise. */
export interface Progress {
  readonly report: Report
  /** Takes the live lines away; nothing is shown after it. */
  stop(): void
}

const redrawMs = 120
const liveLinesMax = 15
const namesShownMax = 8

/** Results are data for stdout; the progress goes to stderr, so that a pipe gets the results alone. */
export function showProgress(terminal: Terminal, nowMs: () => number): Progress {
  const { stderr } = process
  const live = stderr.isTTY && process.env.TERM !== 'dumb' ? liveLines(stderr, nowMs) : null
  const running = new Map<string, { step: Step; sinceMs: number }>()
  const print = (line: string) => {
    live?.clear()
    terminal.err(line)
    live?.draw(running)
  }
  const timer = live && setInterval(() => live.draw(running), redrawMs)
  timer?.unref()
  return {
    report(event: ProgressEvent) {
      if (event.kind === 'step') {
        const since = running.get(event.server)?.sinceMs ?? nowMs()
        running.set(event.server, { step: event.step, sinceMs: since })
        live?.draw(running)
      } else if (event.kind === 'wave') {
        print(`${event.lineage}: wave ${event.wave} of ${event.of}: ${listed(event.servers, namesShownMax)}`)
      } else if (event.kind === 'notice') {
        print(`${event.lineage}: ${terminal.style('yellow', 'note')}: ${event.text}`)
      } else if (event.kind === 'server') {
        print(`${event.server}: ${event.text}`)
      } else if (event.kind === 'stopped') {
        print(`${event.lineage}: ${terminal.style('yellow', 'stopped')}: ${event.reason}`)
      } else {
        running.delete(event.outcome.server)
        print(`  ${endedLine(event.outcome, terminal)}`)
      }
    },
    stop() {
      if (timer) clearInterval(timer)
      live?.clear()
    },
  }
}

function endedLine(outcome: ServerOutcome, terminal: Terminal): string {
  const good = outcome.state === 'committed'
  const mark = terminal.style(good ? 'green' : 'red', good ? '✓' : '✗')
  const time = `${(outcome.elapsedMs / 1000).toFixed(1)} s`
  if (!good)
    return `${mark} ${outcome.server}  ${outcome.state}  ${time}  ${outcome.error?.code ?? ''} ${outcome.error?.failure.what ?? ''}`
  const also = [
    outcome.keySent ? 'key sent' : 'no key sent',
    ...(outcome.ticketKeysSent ? ['ticket keys sent'] : []),
    ...(outcome.drained.some((each) => each.outcome === 'drained') ? ['drained'] : []),
    ...(outcome.way === 'runtime' ? ['no reload'] : []),
  ]
  return `${mark} ${outcome.server}  ${provenText(outcome)}  ${time}  ${also.join(', ')}`
}

/** Seen from outside is proof by ourselves; from the server itself it is the server's word. */
function provenText({ vantage }: ServerOutcome): string {
  if (vantage === 'on-server') return 'proven from the server itself, not from outside'
  return vantage === 'forwarded' ? 'proven through the server, not from outside' : 'proven'
}

function liveLines(stderr: WriteStream, nowMs: () => number) {
  let drawn = 0
  const clear = () => {
    if (drawn > 0) stderr.write(`\x1b[${drawn}A\x1b[J`)
    drawn = 0
  }
  return {
    clear,
    draw(running: ReadonlyMap<string, { step: Step; sinceMs: number }>) {
      clear()
      const lines = [...running]
        .slice(0, liveLinesMax)
        .map(([server, { step, sinceMs }]) => `  … ${server}  ${step}  ${((nowMs() - sinceMs) / 1000).toFixed(1)} s`)
      if (running.size > liveLinesMax) lines.push(`  … and ${running.size - liveLinesMax} more`)
      for (const line of lines) stderr.write(`${line.slice(0, (stderr.columns || 80) - 1)}\n`)
      drawn = lines.length
    },
  }
}
