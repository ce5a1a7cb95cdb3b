import { asOnecertError, fail, OnecertError, retold } from '../base/errors.ts'
import type { Placement } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import { type Answer, type Connection, outputText } from '../reach/connection.ts'
import { lookDirectly, lookThrough } from '../rollout/prober.ts'
import { includePath, includeWord, receiverFor } from '../rollout/receiver.ts'
import { verify, verifyLimits } from '../rollout/verify.ts'
import { fingerprintsOf } from './chain.ts'
import { chosenServer, chosenSite } from './choice.ts'
import type { Configuration } from './configuration.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'

export interface Configured {
  readonly server: string
  readonly path: string
  /** `removed`: it was there, and is not any more; `absent`: there was none. */
  readonly state: 'installed' | 'removed' | 'absent'
}

/**
 * Puts the configuration of a site onto its servers as include files of their own, one server after the other, and stops at
 * the first failure: there everything is as it was. Done is what a handshake has shown.
 * @throws OnecertError INCLUDE_*, SERVICE_*, RELOAD_FAILED, VERIFY_*
 */
export async function install(
  context: Context,
  site: string,
  made: readonly Configuration[],
  onDone: (done: Configured) => void,
): Promise<void> {
  for (const { server, path, text } of made) {
    if (server === null) continue
    if (path === null) throw noPlace(context, server)
    await expectGeneration(context, site, server)
    await onServer(context, site, server, async (connection, word, confirmSeconds) => {
      demandOk(await connection.request('include', [word, confirmSeconds], { payload: text }), server, path)
      try {
        await prove(context, site, server, connection)
      } catch (thrown) {
        const error = asOnecertError(thrown)
        await takeBack(connection, word, server, path, error)
      }
      demandOk(await connection.request('included', [word]), server, path)
      onDone({ server, path, state: 'installed' })
      return 'installed'
    })
  }
}

/** Takes the include files away again, the same way: what does not work without them is brought back. */
export async function uninstall(
  context: Context,
  site: string,
  servers: readonly string[],
  onDone: (done: Configured) => void,
): Promise<void> {
  for (const server of servers) {
    const path = includePath(chosenServer(context.fleet, server), site)
    if (path === null) throw noPlace(context, server)
    await onServer(context, site, server, async (connection, word, confirmSeconds) => {
      const gone = demandOk(await connection.request('exclude', [word, confirmSeconds]), server, path)
      const state = gone.get('path') === '-' ? 'absent' : 'removed'
      if (state === 'removed') demandOk(await connection.request('included', [word]), server, path)
      onDone({ server, path, state })
      return state
    })
  }
}

/** With the lease of the site's lineage: a rollout there would test and reload at the same time. */
async function onServer(
  context: Context,
  siteName: string,
  name: string,
  work: (connection: Connection, word: string, confirmSeconds: string) => Promise<Configured['state']>,
): Promise<void> {
  const { fleet, ledger } = context
  context.signal.throwIfAborted()
  const server = chosenServer(fleet, name)
  const lineage = chosenSite(fleet, siteName).certificates[0] ?? ''
  const confirmSeconds = String(Math.ceil(fleet.rollout.confirmWithinMs / 1000))
  const path = includePath(server, siteName) ?? ''
  await withLease(context, lineage, () =>
    withConnection(context, server, receiverFor(fleet, server, 'configuration'), (connection) =>
      ledger.effect(
        { effect: 'configure', server: name, lineage, path },
        () => work(connection, includeWord(server, siteName), confirmSeconds),
        (way) => ({ way }),
      ),
    ),
  )
}

/** The files that the configuration names have to be there: nginx and HAProxy do not take it otherwise. */
async function expectGeneration({ store, fleet }: Context, siteName: string, server: string): Promise<void> {
  for (const lineage of chosenSite(fleet, siteName).certificates) {
    if ((await store.committedGenerations(lineage)).has(server)) continue
    fail('INCLUDE_NOT_READY', {
      what: `${server} holds no generation of ${lineage} yet`,
      fact: 'its service would not take a configuration that names files that are not there',
      state: `nothing was changed on ${server}`,
      next: `put the configuration there by hand (onecert config ${siteName} --server ${server}), then: onecert apply, which starts the service with it`,
    })
  }
}

/** Fresh handshakes for the site's name alone, until the generation that is on the server was seen five times in a row. */
async function prove(context: Context, siteName: string, name: string, connection: Connection): Promise<void> {
  const { fleet, store, clock } = context
  const server = chosenServer(fleet, name)
  const look = server.probe === 'direct' ? lookDirectly() : lookThrough(connection)
  for (const lineage of chosenSite(fleet, siteName).certificates) {
    const committed = (await store.committedGenerations(lineage)).get(name)
    const row = (await store.generations(lineage)).find(({ number }) => number === committed)
    const placement = placements(fleet, lineage).find((each) => each.server.name === name)
    if (!row || !placement) continue
    const only: Placement = { ...placement, names: [siteName] }
    const withinMs = Math.min(verifyLimits.withinMs, fleet.rollout.confirmWithinMs / 2)
    await verify(endpointsOf(only), { chain: fingerprintsOf(row) }, look, clock, { ...verifyLimits, withinMs })
  }
}

async function takeBack(
  connection: Connection,
  word: string,
  server: string,
  path: string,
  error: OnecertError,
): Promise<never> {
  const answer = await connection.request('unincluded', [word]).catch(() => null)
  throw retold(error, {
    what: `with the new configuration, ${error.failure.what}`,
    state: answer?.ok
      ? `${server} has the configuration that it had: ${path} was brought back and the service reloaded`
      : `${server} brings ${path} back by itself`,
    next: 'onecert status, and the log of the service there',
  })
}

function noPlace({ fleet }: Context, server: string): OnecertError {
  const { kind } = chosenServer(fleet, server).service
  return new OnecertError('INCLUDE_NO_PLACE', {
    what: `nobody said where ${kind} on ${server} reads include files`,
    fact: 'there is no usual place: it depends on how it is started, or on what its configuration imports',
    state: `nothing was changed on ${server}`,
    next: `write include: /FOLDER at servers.${server}, a folder that its configuration reads (docs/guides/configuration.md)`,
  })
}

const nexts: Readonly<Record<string, (server: string) => string>> = {
  INCLUDE_NO_PLACE: (server) =>
    `write include: /FOLDER at servers.${server}, a folder that is there; on an enrolled server, enrol it again`,
  INCLUDE_FOREIGN: (server) => `move that file away on ${server}, or name another folder: include: /FOLDER`,
  INCLUDE_NOT_READ: (server) =>
    `make the configuration of ${server} read that folder, or name one that it reads: include: /FOLDER`,
  SERVICE_ALREADY_BROKEN: (server) => `mend the configuration on ${server}, then run this again`,
}

/** Its switch is armed still, or at work. */
const bringsBack: readonly string[] = ['WATCHDOG_FIRED', 'ROLLBACK_FAILED']

function demandOk(answer: Answer, server: string, path: string): ReadonlyMap<string, string> {
  if (answer.ok) return answer.facts
  const code = answer.code ?? 'RECEIVER_PROTOCOL'
  return fail(code, {
    what: `configuring ${server} failed`,
    fact: outputText(answer) || `the receiver there answered ${code}, about ${path}`,
    state: bringsBack.includes(code)
      ? `${server} brings the configuration that it had back by itself`
      : `${server} has the configuration that it had`,
    next: nexts[code]?.(server) ?? 'onecert status',
  })
}
