import type { Server } from '../fleet/fleet.ts'
import { turnOf } from '../rollout/turn.ts'

/** When the window of a server opens for which a rollout would wait; null: it would not. */
export function opensAt(server: Server | undefined, nowMs: number, servedUntilMs: number | null): string | null {
  const turn = turnOf(server?.windows ?? [], nowMs, { now: null, servedUntilMs })
  return turn.kind === 'waits' ? turn.opensAt : null
}
