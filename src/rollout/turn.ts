import { dayMs } from '../base/clock.ts'
import type { Window } from '../fleet/fleet.ts'
import { windowState, windowTime } from '../fleet/window.ts'
import { minute } from '../pki/text.ts'

/** Whether a server may be changed now, by its maintenance windows. */
export type Turn =
  | { readonly kind: 'open' }
  /** Its window is closed, and it is changed nevertheless. */
  | { readonly kind: 'override'; readonly reason: string }
  | { readonly kind: 'waits'; readonly opensAt: string }

/**
 * Who rolls out once a day may miss a window by up to a day: what expires within a day behind the end of the next window
 * does not wait for it (I2).
 */
const lookedAtEveryMs = dayMs

/**
 * @param now the reason that a person gave not to wait
 * @param servedUntilMs when the certificate that is served there expires; null where that is not known
 */
export function turnOf(
  windows: readonly Window[],
  nowMs: number,
  { now, servedUntilMs }: { readonly now: string | null; readonly servedUntilMs: number | null },
): Turn {
  const state = windowState(windows, nowMs)
  if (state.kind === 'open') return { kind: 'open' }
  if (now !== null) return { kind: 'override', reason: now }
  const opensAt = windowTime(state.opensAtMs, state.timeZone)
  if (servedUntilMs !== null && servedUntilMs < state.closesAtMs + lookedAtEveryMs) {
    return {
      kind: 'override',
      reason: `what it serves expires ${minute(servedUntilMs)}, too early for its next window, which opens ${opensAt}`,
    }
  }
  return { kind: 'waits', opensAt }
}
