import type { ListProgress } from '../actions/probe-list.ts'

export interface ListProgressShown {
  /** One line: counts, rate, time. */
  summary(): string
  /** Takes the bar away; nothing is shown after it. */
  stop(): void
}

const redrawMs = 200
const plainMs = 10_000
const barCells = 20

/** On a terminal a bar that is drawn over itself; else a plain line every ten seconds. All goes to stderr. */
export function showListProgress(
  progress: ListProgress,
  /** Of the list; null: nobody knows. */
  totalBytes: number | null,
  nowMs: () => number,
): ListProgressShown {
  const { stderr } = process
  const startedMs = nowMs()
  const live = stderr.isTTY === true && process.env.TERM !== 'dumb'
  const before = linesOf(progress)
  const share = () => (totalBytes ? Math.min(1, progress.offset / totalBytes) : null)
  const rate = () => (linesOf(progress) - before) / Math.max(0.001, (nowMs() - startedMs) / 1_000)
  const summary = () => {
    const { ok, wrong, unseen, bad } = progress.counts
    const skipped = progress.skipped > 0 ? ` (${progress.skipped} were done before)` : ''
    return `${linesOf(progress)} lines${skipped}: ${ok} ok, ${wrong} wrong, ${unseen} unseen, ${bad} bad; ${Math.round(rate())}/s, ${timeText(nowMs() - startedMs)}`
  }
  const leftText = () => {
    const { offset, firstOffset } = progress
    if (totalBytes === null || offset <= firstOffset) return ''
    return `, ${timeText(((nowMs() - startedMs) * Math.max(0, totalBytes - offset)) / (offset - firstOffset))} left`
  }
  const draw = () => {
    const done = share()
    if (!live) return void stderr.write(`${done === null ? '' : `${percent(done)}, `}${summary()}${leftText()}\n`)
    const cells = Math.round((done ?? 0) * barCells)
    const bar = done === null ? '' : `[${'█'.repeat(cells)}${'░'.repeat(barCells - cells)}] ${percent(done)}  `
    stderr.write(`\r${`${bar}${summary()}${leftText()}`.slice(0, (stderr.columns ?? 100) - 1)}\x1b[K`)
  }
  const timer = setInterval(draw, live ? redrawMs : plainMs)
  timer.unref()
  return {
    summary,
    stop() {
      clearInterval(timer)
      if (live) stderr.write('\r\x1b[K')
    },
  }
}

function linesOf({ counts: { ok, wrong, unseen, bad } }: ListProgress): number {
  return ok + wrong + unseen + bad
}

function percent(share: number): string {
  return `${Math.floor(100 * share)} %`
}

function timeText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1_000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}
