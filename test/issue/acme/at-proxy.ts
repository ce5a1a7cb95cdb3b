import { writeFile } from 'node:fs/promises'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { AcmeIssuer } from '../../../src/fleet/fleet.ts'
import { acme } from '../../../src/issue/acme/issuer.ts'
import { type OpenOrder, openOrders } from '../../../src/issue/acme/open-order.ts'
import { openRegistered } from '../../../src/issue/acme/registration.ts'
import type { AcmeTools } from '../../../src/issue/acme/tools.ts'
import type { Issuer } from '../../../src/issue/issuer.ts'
import type { Solver } from '../../../src/issue/solver.ts'
import type { AcmeProxy } from '../../real/acme-proxy.ts'
import { type Keeper, openKeeper } from '../keeper.ts'

/** The CA takes every challenge for answered: what is tested is what becomes of the order. */
const solver: Solver = { type: 'http-01', present: async () => {}, remove: async () => {} }

/** The real time; what is waited for between two tries is cut short. */
const hurried: Clock = {
  nowMs: systemClock.nowMs,
  sleep: (durationMs, signal) => systemClock.sleep(Math.min(durationMs, 50), signal),
}

/** An issuer in process, with a vault and a store of its own, at a CA behind a proxy. */
export interface AtProxy extends AsyncDisposable {
  readonly keeper: Keeper
  readonly spec: AcmeIssuer
  readonly tools: AcmeTools & { readonly solvers: readonly Solver[] }
  /** With other settings for this once. */
  issuer(changed?: Partial<AcmeIssuer>): Issuer
  /** How many orders our account has at the CA. */
  ordersThere(): Promise<number>
  orderHere(lineage: string): Promise<OpenOrder | null>
}

export async function openAtProxy(proxy: AcmeProxy): Promise<AtProxy> {
  const keeper = await openKeeper()
  const caFile = keeper.directory.file('ca.pem')
  await writeFile(caFile, proxy.trust)
  const spec: AcmeIssuer = { kind: 'acme', name: 'lab', directory: proxy.directoryUrl, email: [], caFile }
  const tools = { ...keeper.tools, clock: hurried, solvers: [solver] }
  return {
    keeper,
    spec,
    tools,
    issuer: (changed = {}) => acme({ ...spec, ...changed }, tools),
    ordersThere: async () => (await (await openRegistered(spec, tools)).orders()).length,
    orderHere: (lineage) => openOrders(tools.notes).read(lineage),
    [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose](),
  }
}
