import { Cron } from 'croner'
import type { Window } from './fleet.ts'

/** Whether a server may be changed now. Times are milliseconds since 1970-01-01 UTC. */
export type WindowState =
  /** `closesAtMs`: null where it does not close, or not within what was looked through. */
  | { readonly kind: 'open'; readonly closesAtMs: number | null }
  | {
      readonly kind: 'closed'
      readonly opensAtMs: number
      /** When the window that opens then closes again. */
      readonly closesAtMs: number
      /** Of the window that opens first. */
      readonly timeZone: string
    }

/** Windows that follow each other without a gap are one; so many are put together at most. */
const joinedMax = 100

/**
 * A period begins at each time that the cron expression names in its time zone, and lasts `forMs` of real time. A time that
 * the clocks skip when summer begins is the first one behind the gap; one that comes twice when summer ends is the first of
 * both. No windows: always open. Pure.
 */
export function windowState(windows: readonly Window[], nowMs: number): WindowState {
  if (windows.length === 0) return { kind: 'open', closesAtMs: null }
  const periods = windows.map((window) => periodAt(window, nowMs))
  const open = periods.filter(({ startMs }) => startMs <= nowMs)
  if (open.length > 0) {
    return { kind: 'open', closesAtMs: joinedEnd(windows, Math.max(...open.map(({ endMs }) => endMs))) }
  }
  const [next] = periods.toSorted((left, right) => left.startMs - right.startMs)
  if (!next) return { kind: 'open', closesAtMs: null }
  return {
    kind: 'closed',
    opensAtMs: next.startMs,
    closesAtMs: joinedEnd(windows, next.endMs) ?? next.endMs,
    timeZone: next.timeZone,
  }
}

/** Why the expression or the time zone is none; null where both are right, and the window opens some day. */
export function windowDefect(window: Pick<Window, 'cron' | 'timeZone'>): 'cron' | 'time-zone' | 'never' | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone: window.timeZone })
  } catch {
    return 'time-zone'
  }
  try {
    return scheduleOf(window).nextRun(new Date(0)) === null ? 'never' : null
  } catch {
    return 'cron'
  }
}

/** `2026-11-29T02:00+01:00`, as the clocks there show it. */
export function windowTime(atMs: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'longOffset',
  }).formatToParts(atMs)
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((each) => each.type === type)?.value ?? ''
  const offset = part('timeZoneName').slice('GMT'.length) || '+00:00'
  return `${part('year')}-${part('month')}-${part('day')}T${part('hour')}:${part('minute')}${offset}`
}

interface Period {
  readonly startMs: number
  readonly endMs: number
  readonly timeZone: string
}

/** The first period that ends behind a moment; it may have begun. */
function periodAt({ forMs, ...window }: Window, atMs: number): Period {
  // A window that never opens is refused with the fleet file.
  const startMs =
    scheduleOf(window)
      .nextRun(new Date(atMs - forMs))
      ?.getTime() ?? Number.POSITIVE_INFINITY
  return { startMs, endMs: startMs + forMs, timeZone: window.timeZone }
}

function joinedEnd(windows: readonly Window[], endMs: number): number | null {
  let end = endMs
  for (let joined = 0; joined < joinedMax; joined++) {
    const further = windows.map((window) => periodAt(window, end)).filter(({ startMs }) => startMs <= end)
    if (further.length === 0) return end
    end = Math.max(...further.map((period) => period.endMs))
  }
  return null
}

function scheduleOf({ cron, timeZone }: Pick<Window, 'cron' | 'timeZone'>): Cron {
  return new Cron(cron, { timezone: timeZone, mode: '5-part' })
}
