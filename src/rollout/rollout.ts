import { asOnecertError } from '../base/errors.ts'
import type { Plan, PlannedServer, WaitingServer } from './plan.ts'
import type { Report, ServerOutcome } from './progress.ts'
import type { Turn } from './turn.ts'
import { stopReason } from './wave.ts'

export interface RolloutResult {
  readonly outcomes: readonly ServerOutcome[]
  /** Why the rollout stopped before its end; null where it went through. */
  readonly stopped: string | null
  /** Servers that were not begun because it stopped. */
  readonly untouched: readonly string[]
  /** Servers whose maintenance windows closed before their turn: not begun. */
  readonly waiting: readonly WaitingServer[]
}

/**
 * Wave after wave, at most `parallel` servers at once. A canary is one that answered: as long as all servers of the
 * first wave were unreachable, the next wave is taken one server at a time.
 *
 * When all servers of a wave have shown the new certificate once, `soon` names those whose turn comes next, as many as
 * leave no more than `parallel` at work.
 */
export async function rolloutWaves(
  plan: Plan,
  one: (planned: PlannedServer, onServed: () => void) => Promise<ServerOutcome>,
  options: {
    readonly parallel: number
    readonly signal: AbortSignal
    readonly report: Report
    readonly soon: (planned: PlannedServer) => void
    /** Now, at its turn. */
    readonly turnOf: (planned: PlannedServer) => Turn
  },
): Promise<RolloutResult> {
  const lineage = plan.certificate.name
  const outcomes: ServerOutcome[] = []
  const waits: WaitingServer[] = []
  const servers = plan.waves.flat().length
  const count = (state: (outcome: ServerOutcome) => boolean) => outcomes.filter(state).length
  const reason = (): string | null => {
    const reached = count(({ state }) => state !== 'unreachable')
    if (options.signal.aborted) return asOnecertError(options.signal.reason).failure.what
    return stopReason({
      servers,
      failed: count(({ state }) => state !== 'committed' && state !== 'unreachable'),
      unreachable: count(({ state }) => state === 'unreachable'),
      canary: reached <= plan.policy.canary,
    })
  }
  const run = async (planned: PlannedServer, onServed: () => void) => {
    const turn = options.turnOf(planned)
    if (turn.kind === 'waits') {
      waits.push({ ...planned, opensAt: turn.opensAt })
      return
    }
    const outcome = await one(planned, onServed)
    outcomes.push(outcome)
    options.report({ kind: 'ended', lineage, outcome })
  }

  for (const [at, wave] of plan.waves.entries()) {
    if (reason()) break
    const names = wave.map(({ placement }) => placement.server.name)
    options.report({ kind: 'wave', lineage, wave: at + 1, of: plan.waves.length, servers: names })
    const next = plan.waves[at + 1]?.slice(0, Math.max(0, options.parallel - wave.length)) ?? []
    let unserved = wave.length
    const onServed = () => {
      unserved -= 1
      if (unserved === 0) for (const planned of next) options.soon(planned)
    }
    const waiting = [...wave]
    while (waiting.length > 0 && reason() === null) {
      const proven = outcomes.some(({ state }) => state === 'committed')
      const lanes = proven || at === 0 ? Math.min(options.parallel, waiting.length) : 1
      if (lanes === 1 && !proven) {
        const [planned] = waiting.splice(0, 1)
        if (planned) await run(planned, onServed)
        continue
      }
      await Promise.all(
        Array.from({ length: lanes }, async () => {
          for (let planned = waiting.shift(); planned && reason() === null; planned = waiting.shift())
            await run(planned, onServed)
        }),
      )
    }
  }

  const ended = new Set([
    ...outcomes.map(({ server }) => server),
    ...waits.map(({ placement }) => placement.server.name),
  ])
  const untouched = plan.waves
    .flat()
    .flatMap(({ placement }) => (ended.has(placement.server.name) ? [] : [placement.server.name]))
  const stopped = untouched.length > 0 ? (reason() ?? 'stopped') : null
  if (stopped) options.report({ kind: 'stopped', lineage, reason: stopped })
  return { outcomes, stopped, untouched, waiting: waits }
}
