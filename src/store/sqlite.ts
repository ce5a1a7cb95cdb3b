import { chmodSync } from 'node:fs'
import { type FileHandle, open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDirectory } from '../base/durable.ts'
import { fail } from '../base/errors.ts'
import { batched } from './batch.ts'
import { explainSqlite, isBusy } from './failure.ts'
import { holderAlive, holderText } from './holder.ts'
import { migrate } from './schema.ts'
import type { GenerationRow, ObservationRow, RecordRow, Store } from './store.ts'
import { checkSuccession } from './succession.ts'

const busyTimeoutMs = 10_000
const retryAfterMs = 20

/**
 * The store in one SQLite file of the state directory (made with mode 0700). Every change is flushed before its promise
 * resolves; several processes may have it open.
 *
 * SQLite would flush its log at each commit while everything else waits (synchronous=FULL). Here it only keeps the order
 * that a recovery needs (NORMAL), and the log is flushed by ourselves, beside the work that goes on.
 * @throws OnecertError STATE_NOT_WRITABLE, STATE_DISK_FULL, STATE_BUSY, STATE_DAMAGED, STATE_TOO_NEW; all but the last
 * also come from any operation
 */
export async function openStore(directory: string): Promise<Store> {
  const path = join(directory, 'state.db')
  try {
    await makeDirectory(directory)
    const database = await openDatabase(path)
    return sqliteStore(database, path, await openFile(`${path}-wal`, 'r+'))
  } catch (error) {
    throw await explainSqlite(error, path)
  }
}

/** The change to WAL needs the file alone, and where several open a new one SQLite refuses it without waiting. */
async function openDatabase(path: string): Promise<DatabaseSync> {
  const endMs = performance.now() + busyTimeoutMs
  for (;;) {
    const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
    try {
      chmodSync(path, 0o600)
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON')
      migrate(database, path)
      return database
    } catch (error) {
      database.close()
      if (!isBusy(error) || performance.now() > endMs) throw error
    }
    await sleep(retryAfterMs * Math.random())
  }
}

/** @param log SQLite's write-ahead log, the same file as long as the database is open */
function sqliteStore(database: DatabaseSync, path: string, log: FileHandle): Store {
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? database.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  const get = <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).get(...values) as Row | undefined
  const all = <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).all(...values) as Row[]
  const run = (sql: string, ...values: SQLInputValue[]) => prepare(sql).run(...values)

  async function attempt<T>(work: () => T): Promise<T> {
    try {
      return work()
    } catch (error) {
      throw await explainSqlite(error, path)
    }
  }

  /** What was written is on the disk when it resolves. */
  async function durably<T>(work: () => T): Promise<T> {
    const result = await attempt(work)
    await log.datasync().catch(async (error: unknown) => {
      throw await explainSqlite(error, path)
    })
    return result
  }

  function transaction<T>(work: () => T): T {
    database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      database.exec('COMMIT')
      return result
    } catch (error) {
      // SQLite itself undoes a transaction that a full or broken disk has ended.
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }

  /** One of several writes of a transaction: where it fails, it alone is undone. */
  function apart(write: () => unknown): PromiseSettledResult<unknown> {
    database.exec('SAVEPOINT apart')
    try {
      const value = write()
      database.exec('RELEASE apart')
      return { status: 'fulfilled', value }
    } catch (reason) {
      if (!database.isTransaction) throw reason
      database.exec('ROLLBACK TO apart; RELEASE apart')
      return { status: 'rejected', reason }
    }
  }

  function writeServerState({ rollout, server, state, detail, nowMs }: ServerStateRow): void {
    run(
      `INSERT INTO rollout_server VALUES (?, ?, ?, ?, ?) ON CONFLICT (rollout, server)
       DO UPDATE SET state = excluded.state, detail = excluded.detail, updated_at_ms = excluded.updated_at_ms`,
      rollout,
      server,
      state,
      detail,
      nowMs,
    )
    if (state !== 'committed') return
    run(
      `INSERT INTO committed SELECT lineage, ?, generation FROM rollout WHERE id = ?
       ON CONFLICT (lineage, server) DO UPDATE SET generation = excluded.generation`,
      server,
      rollout,
    )
  }

  function writeObservation(row: ObservationRow): void {
    run(
      `INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, name, address, port)
       DO UPDATE SET at_ms = excluded.at_ms, vantage = excluded.vantage, fingerprint = excluded.fingerprint,
       not_after_ms = excluded.not_after_ms, reason = excluded.reason WHERE excluded.at_ms >= at_ms`,
      row.server,
      row.name,
      row.address,
      row.port,
      row.atMs,
      row.vantage,
      row.fingerprint,
      row.notAfterMs,
      row.reason,
    )
  }

  /** One queue for all that is written while servers are at work: its order is that of the calls, also after a crash. */
  const inOrder = batched<() => unknown, PromiseSettledResult<unknown>>((writes) =>
    durably(() => transaction(() => writes.map(apart))),
  )
  async function queued<T>(write: () => T): Promise<T> {
    const outcome = await inOrder(write)
    if (outcome.status === 'rejected') throw await explainSqlite(outcome.reason, path)
    return outcome.value as T
  }

  function newest(lineage: string): GenerationRow | null {
    const row = get<GenerationSql>('SELECT * FROM generation WHERE lineage = ? ORDER BY number DESC LIMIT 1', lineage)
    return row ? generationRow(row) : null
  }

  function addGeneration(wanted: Omit<GenerationRow, 'number'>): GenerationRow {
    const same = get<GenerationSql>(
      'SELECT * FROM generation WHERE lineage = ? AND fingerprint = ?',
      wanted.lineage,
      wanted.fingerprint,
    )
    const known = same ? generationRow(same) : null
    const last = newest(wanted.lineage)
    checkSuccession(wanted, known, last)
    if (known) return known
    const row = { ...wanted, number: (last?.number ?? 0) + 1 }
    run(
      'INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      row.lineage,
      row.number,
      row.spki,
      row.fingerprint,
      row.notBeforeMs,
      row.notAfterMs,
      row.chainPem,
      JSON.stringify(row.names),
      row.issuer,
      row.keyMadeAtMs,
      row.createdAtMs,
    )
    return row
  }

  function lease(lineage: string, nowMs: number): { token: number; held: boolean } {
    const row = get<LeaseSql>('SELECT * FROM lease WHERE lineage = ?', lineage)
    const held = row?.holder != null && row.expires_at_ms > nowMs && holderAlive(row.holder)
    return { token: row?.token ?? 0, held }
  }

  function acquireLease(
    lineage: string,
    { holder, nowMs, lifetimeMs }: { holder: string; nowMs: number; lifetimeMs: number },
  ): { token: number } {
    const held = get<LeaseSql>('SELECT * FROM lease WHERE lineage = ?', lineage)
    if (held?.holder && held.expires_at_ms > nowMs && holderAlive(held.holder)) leaseHeld(lineage, held, nowMs)
    // Seconds of time as a floor: a controller that lost its state is not older than what servers remember of it.
    const token = Math.max((held?.token ?? 0) + 1, Math.floor(nowMs / 1000))
    run('INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?)', lineage, token, holder, nowMs, nowMs + lifetimeMs)
    return { token }
  }

  function renewLease(
    lineage: string,
    token: number,
    { nowMs, lifetimeMs }: { nowMs: number; lifetimeMs: number },
  ): void {
    const { changes } = run(
      'UPDATE lease SET expires_at_ms = ? WHERE lineage = ? AND token = ? AND holder IS NOT NULL',
      nowMs + lifetimeMs,
      lineage,
      token,
    )
    if (changes === 1) return
    const held = get<LeaseSql>('SELECT * FROM lease WHERE lineage = ?', lineage)
    fail('LEASE_LOST', {
      what: held?.token === token ? `the lease on ${lineage} was given back` : `another onecert took over ${lineage}`,
      ...(held?.holder &&
        held.token !== token && {
          fact: `${holderText(held.holder)}, ${Math.round((nowMs - held.acquired_at_ms) / 1000)} s ago; its fencing token is ${held.token}, ours is ${token}`,
        }),
      state: 'servers refuse what comes from here now; what was swapped and not confirmed undoes itself',
      next: 'onecert status',
    })
  }

  /** The same rollout again goes on, under the lease of who goes on with it (I7). */
  function startRollout({ id, lineage, generation, token, startedAtMs }: StartedRollout): void {
    const { changes } = run(
      `INSERT INTO rollout (id, lineage, generation, token, started_at_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id)
       DO UPDATE SET token = excluded.token, finished_at_ms = NULL, outcome = NULL
       WHERE lineage = excluded.lineage AND generation = excluded.generation`,
      id,
      lineage,
      generation,
      token,
      startedAtMs,
    )
    if (changes === 0) fail('INTERNAL', { what: `rollout ${id} is known, and of another generation` })
  }

  function note(kind: string, name: string): string | null {
    return get<{ body: string }>('SELECT body FROM note WHERE kind = ? AND name = ?', kind, name)?.body ?? null
  }

  function changeNote(kind: string, name: string, change: (body: string | null) => string | null): string | null {
    const body = change(note(kind, name))
    if (body === null) run('DELETE FROM note WHERE kind = ? AND name = ?', kind, name)
    else run('INSERT OR REPLACE INTO note VALUES (?, ?, ?)', kind, name, body)
    return body
  }

  return {
    addGeneration: (wanted) => durably(() => transaction(() => addGeneration(wanted))),
    generations: (lineage) =>
      attempt(() =>
        all<GenerationSql>('SELECT * FROM generation WHERE lineage = ? ORDER BY number', lineage).map(generationRow),
      ),
    newestGeneration: (lineage) => attempt(() => newest(lineage)),

    acquireLease: (lineage, wanted) => durably(() => transaction(() => acquireLease(lineage, wanted))),
    renewLease: (lineage, token, until) => durably(() => renewLease(lineage, token, until)),
    releaseLease: (lineage, token) =>
      durably(() => void run('UPDATE lease SET holder = NULL WHERE lineage = ? AND token = ?', lineage, token)),
    lease: (lineage, nowMs) => attempt(() => lease(lineage, nowMs)),

    startRollout: (row) => durably(() => startRollout(row)),
    setServerState: (rollout, server, state, detail, nowMs) =>
      queued(() => writeServerState({ rollout, server, state, detail: JSON.stringify(detail), nowMs })),
    finishRollout: (rollout, { finishedAtMs, outcome }) =>
      durably(
        () =>
          void run('UPDATE rollout SET finished_at_ms = ?, outcome = ? WHERE id = ?', finishedAtMs, outcome, rollout),
      ),
    committedGenerations: (lineage) =>
      attempt(() => {
        const rows = all<{ server: string; generation: number }>(
          'SELECT server, generation FROM committed WHERE lineage = ?',
          lineage,
        )
        return new Map(rows.map(({ server, generation }) => [server, generation]))
      }),

    recordObservation: (row) => queued(() => writeObservation(row)),
    observations: () => attempt(() => all<ObservationSql>('SELECT * FROM observation').map(observationRow)),

    appendRecord: (bodies, link) =>
      queued(() => {
        const newest = get<RecordSql>('SELECT * FROM record ORDER BY seq DESC LIMIT 1')
        let last = newest ? recordRow(newest) : null
        return bodies.map((body) => {
          const row = link(last, body)
          run('INSERT INTO record VALUES (?, ?, ?, ?, ?)', row.seq, row.atMs, row.body, row.prev, row.hash)
          last = row
          return row
        })
      }),
    record: () => attempt(() => all<RecordSql>('SELECT * FROM record ORDER BY seq').map(recordRow)),

    note: (kind, name) => attempt(() => note(kind, name)),
    changeNote: (kind, name, change) => durably(() => transaction(() => changeNote(kind, name, change))),

    async close() {
      await attempt(() => database.close())
      await log.close()
    },
  }
}

type StartedRollout = Parameters<Store['startRollout']>[0]

interface ServerStateRow {
  readonly rollout: string
  readonly server: string
  readonly state: string
  readonly detail: string
  readonly nowMs: number
}

interface GenerationSql {
  lineage: string
  number: number
  spki: string
  fingerprint: string
  not_before_ms: number
  not_after_ms: number
  chain_pem: string
  names: string
  issuer: string
  key_made_at_ms: number
  created_at_ms: number
}

interface LeaseSql {
  token: number
  holder: string | null
  acquired_at_ms: number
  expires_at_ms: number
}

interface ObservationSql {
  server: string
  name: string
  address: string
  port: number
  at_ms: number
  vantage: ObservationRow['vantage']
  fingerprint: string | null
  not_after_ms: number | null
  reason: string | null
}

interface RecordSql {
  seq: number
  at_ms: number
  body: string
  prev: string
  hash: string
}

function generationRow(row: GenerationSql): GenerationRow {
  return {
    lineage: row.lineage,
    number: row.number,
    spki: row.spki,
    fingerprint: row.fingerprint,
    notBeforeMs: row.not_before_ms,
    notAfterMs: row.not_after_ms,
    chainPem: row.chain_pem,
    names: JSON.parse(row.names) as string[],
    issuer: row.issuer,
    keyMadeAtMs: row.key_made_at_ms,
    createdAtMs: row.created_at_ms,
  }
}

function observationRow(row: ObservationSql): ObservationRow {
  return {
    server: row.server,
    name: row.name,
    address: row.address,
    port: row.port,
    atMs: row.at_ms,
    vantage: row.vantage,
    fingerprint: row.fingerprint,
    notAfterMs: row.not_after_ms,
    reason: row.reason,
  }
}

function recordRow(row: RecordSql): RecordRow {
  return { seq: row.seq, atMs: row.at_ms, body: row.body, prev: row.prev, hash: row.hash }
}

function leaseHeld(lineage: string, held: LeaseSql, nowMs: number): never {
  fail('LEASE_HELD', {
    what: `another onecert is at work on ${lineage}`,
    fact: `${holderText(held.holder ?? 'unknown')}, since ${Math.round((nowMs - held.acquired_at_ms) / 1000)} s; its lease ends in ${Math.round((held.expires_at_ms - nowMs) / 1000)} s unless it renews it`,
    state: 'nothing was changed',
    next: 'wait for it, then: onecert apply',
  })
}
