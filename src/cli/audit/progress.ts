import type { OnAuditProgress } from '../../actions/audit-progress.ts'

export interface AuditProgressShown {
  readonly onProgress: OnAuditProgress
  /** Takes the line away. */
  stop(): void
}

const redrawMs = 100

/** One line on stderr, drawn over itself; nothing where no person looks. */
export function showAuditProgress(wanted: boolean, nowMs: () => number): AuditProgressShown {
  const { stderr } = process
  if (!wanted || !stderr.isTTY || process.env.TERM === 'dumb') return { onProgress: () => {}, stop: () => {} }
  let drawnMs = Number.NEGATIVE_INFINITY
  let shown = ''
  return {
    onProgress({ doing, done, of }) {
      if (doing === shown && done < of && nowMs() - drawnMs < redrawMs) return
      drawnMs = nowMs()
      shown = doing
      const text = of > 0 ? `… ${doing}: ${done} of ${of}` : `… ${doing}`
      stderr.write(`\r${text.slice(0, (stderr.columns || 80) - 1)}\x1b[K`)
    },
    stop() {
      if (shown !== '') stderr.write('\r\x1b[K')
      shown = ''
    },
  }
}
