import type { ListProgress } from '../actions/probe-list.ts'
import { counted } from '../pki/text.ts'

export interface ListProgressShown {
  /** One line: counts, rate, time. */
  summary(): string
  /** Takes the bar away; nothing is shown after it. */
  stop(): void
}

const redrawMs = 200
const plainMs = 10_000
const barCells = 20

/** On a terminal a bar that is drawn over itself, the counts last where it is narrow; else a plain line every ten seconds. All goes to stderr. */
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
  const rate = () => Math.round((linesOf(progress) - before) / Math.max(0.001, (nowMs() - startedMs) / 1_000))
  const countsText = () => {
    const { ok, wrong, unseen, bad } = progress.counts
    return `${ok} ok, ${wrong} wrong, ${unseen} unseen, ${bad} bad`
  }
  const summary = () => {
    const skipped = progress.skipped > 0 ? ` (${progress.skipped} were done before)` : ''
    return `${counted(linesOf(progress), 'line')}${skipped}: ${countsText()}; ${rate()}/s, ${timeText(nowMs() - startedMs)}`
  }
  const left = () => {
    const { offset, firstOffset } = progress
    if (totalBytes === null || offset <= firstOffset) return null
    const leftMs = ((nowMs() - startedMs) * Math.max(0, totalBytes - offset)) / (offset - firstOffset)
    return `${timeText(leftMs)} left`
  }
  const draw = () => {
    const share = totalBytes ? Math.min(1, progress.offset / totalBytes) : null
    const percent = share === null ? null : `${Math.floor(100 * share)} %`
    if (!live) return void stderr.write(`${[percent, summary(), left()].filter(Boolean).join(', ')}\n`)
    const cells = Math.round((share ?? 0) * barCells)
    const bar = share === null ? null : `[${'█'.repeat(cells)}${'░'.repeat(barCells - cells)}]`
    const text = [bar, percent, `${rate()}/s`, left(), countsText()].filter(Boolean).join('  ')
    stderr.write(`\r${text.slice(0, (stderr.columns || 100) - 1)}\x1b[K`)
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

function timeText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1_000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}
