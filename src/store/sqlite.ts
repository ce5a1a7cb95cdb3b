import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { explainWrite } from '../base/durable.ts'
import { fail, OnecertError } from '../base/errors.ts'
import { batched } from './batch.ts'
import { holderAlive, holderText } from './holder.ts'
import { migrate } from './schema.ts'
import type { GenerationRow, ObservationRow, RecordRow, Store } from './store.ts'

const busyTimeoutMs = 10_000

/**
 * The store in one SQLite file of the state directory (made with mode 0700). Every change is flushed before its promise
 * resolves (WAL, synchronous=FULL); several processes may have it open.
 * @throws OnecertError STATE_NOT_WRITABLE, STATE_DISK_FULL, STATE_DAMAGED, STATE_TOO_NEW
 */
export async function openStore(directory: string): Promise<Store> {
  const path = join(directory, 'state.db')
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
    chmodSync(path, 0o600)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
    migrate(database, path)
    return sqliteStore(database)
  } catch (error) {
    throw await explainOpen(error, path)
  }
}

const sqliteCannotOpen = 14
const sqliteReadOnly = 8

async function explainOpen(error: unknown, path: string): Promise<unknown> {
  if (error instanceof OnecertError) return error
  const { errcode, errstr = '' } = error as { errcode?: number; errstr?: string }
  if (errcode === undefined) return explainWrite(error, path)
  if (errcode === sqliteCannotOpen || errcode === sqliteReadOnly) return explainWrite({ code: 'EACCES' }, path)
  return new OnecertError('STATE_DAMAGED', {
    what: `the state in ${path} cannot be opened`,
    fact: `SQLite says: ${errstr}`,
    state: 'nothing was changed; the servers go on serving what they have',
    next: `put a backup of ${path} back, or move it away: observation and the fleet file bring back what matters`,
    cause: error,
  })
}

function sqliteStore(database: DatabaseSync): Store {
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? database.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  const get = <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).get(...values) as Row | undefined
  const all = <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).all(...values) as Row[]
  const run = (sql: string, ...values: SQLInputValue[]) => prepare(sql).run(...values)

  function transaction<T>(work: () => T): T {
    database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      database.exec('COMMIT')
      return result
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
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
      'INSERT OR REPLACE INTO observation VALUES (?, ?, ?, ?, ?, ?, ?)',
      row.server,
      row.name,
      row.atMs,
      row.vantage,
      row.fingerprint,
      row.notAfterMs,
      row.reason,
    )
  }

  /** One queue for all that is written while servers are at work: its order is that of the calls, also after a crash. */
  const inOrder = batched<() => unknown, unknown>((writes) => transaction(() => writes.map((write) => write())))
  const queued = <T>(write: () => T) => inOrder(write) as Promise<T>

  return {
    async addGeneration(wanted) {
      return transaction(() => {
        const known = get<GenerationSql>(
          'SELECT * FROM generation WHERE lineage = ? AND fingerprint = ?',
          wanted.lineage,
          wanted.fingerprint,
        )
        if (known) return generationRow(known)
        const last = get<{ number: number | null }>(
          'SELECT max(number) AS number FROM generation WHERE lineage = ?',
          wanted.lineage,
        )
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
      })
    },
    async generations(lineage) {
      return all<GenerationSql>('SELECT * FROM generation WHERE lineage = ? ORDER BY number', lineage).map(
        generationRow,
      )
    },
    async newestGeneration(lineage) {
      const row = get<GenerationSql>('SELECT * FROM generation WHERE lineage = ? ORDER BY number DESC LIMIT 1', lineage)
      return row ? generationRow(row) : null
    },

    async acquireLease(lineage, { holder, nowMs, lifetimeMs }) {
      return transaction(() => {
        const held = get<LeaseSql>('SELECT * FROM lease WHERE lineage = ?', lineage)
        if (held?.holder && held.expires_at_ms > nowMs && holderAlive(held.holder)) leaseHeld(lineage, held, nowMs)
        // Seconds of time as a floor: a controller that lost its state is not older than what servers remember of it.
        const token = Math.max((held?.token ?? 0) + 1, Math.floor(nowMs / 1000))
        run('INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?)', lineage, token, holder, nowMs, nowMs + lifetimeMs)
        return { token }
      })
    },
    async renewLease(lineage, token, { nowMs, lifetimeMs }) {
      const { changes } = run(
        'UPDATE lease SET expires_at_ms = ? WHERE lineage = ? AND token = ?',
        nowMs + lifetimeMs,
        lineage,
        token,
      )
      if (changes === 1) return
      fail('LEASE_LOST', {
        what: `another onecert took over ${lineage}`,
        state: 'servers refuse what comes from here now; what was swapped and not confirmed undoes itself',
        next: 'onecert status',
      })
    },
    async releaseLease(lineage, token) {
      run('UPDATE lease SET holder = NULL WHERE lineage = ? AND token = ?', lineage, token)
    },

    async startRollout(row) {
      run(
        'INSERT INTO rollout (id, lineage, generation, token, started_at_ms) VALUES (?, ?, ?, ?, ?)',
        row.id,
        row.lineage,
        row.generation,
        row.token,
        row.startedAtMs,
      )
    },
    setServerState: (rollout, server, state, detail, nowMs) =>
      queued(() => writeServerState({ rollout, server, state, detail: JSON.stringify(detail), nowMs })),
    async finishRollout(rollout, { finishedAtMs, outcome }) {
      run('UPDATE rollout SET finished_at_ms = ?, outcome = ? WHERE id = ?', finishedAtMs, outcome, rollout)
    },
    async committedGenerations(lineage) {
      const rows = all<{ server: string; generation: number }>(
        'SELECT server, generation FROM committed WHERE lineage = ?',
        lineage,
      )
      return new Map(rows.map(({ server, generation }) => [server, generation]))
    },

    recordObservation: (row) => queued(() => writeObservation(row)),
    async observations() {
      return all<ObservationSql>('SELECT * FROM observation').map((row) => ({
        server: row.server,
        name: row.name,
        atMs: row.at_ms,
        vantage: row.vantage,
        fingerprint: row.fingerprint,
        notAfterMs: row.not_after_ms,
        reason: row.reason,
      }))
    },

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
    async record() {
      return all<RecordSql>('SELECT * FROM record ORDER BY seq').map(recordRow)
    },

    async close() {
      database.close()
    },
  }
}

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
