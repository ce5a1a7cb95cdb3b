import type { DatabaseSync } from 'node:sqlite'
import { fail } from '../base/errors.ts'

/** Forward only; the number of a migration is its place in the list. */
const migrations: readonly string[] = [
  `
  CREATE TABLE generation (
    lineage TEXT NOT NULL, number INTEGER NOT NULL, spki TEXT NOT NULL, fingerprint TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL, chain_pem TEXT NOT NULL, names TEXT NOT NULL,
    issuer TEXT NOT NULL, key_made_at_ms INTEGER NOT NULL, created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (lineage, number), UNIQUE (lineage, fingerprint)
  ) STRICT;
  CREATE TABLE lease (
    lineage TEXT PRIMARY KEY, token INTEGER NOT NULL, holder TEXT, acquired_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE rollout (
    id TEXT PRIMARY KEY, lineage TEXT NOT NULL, generation INTEGER NOT NULL, token INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL, finished_at_ms INTEGER, outcome TEXT
  ) STRICT;
  CREATE TABLE rollout_server (
    rollout TEXT NOT NULL REFERENCES rollout (id), server TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL, PRIMARY KEY (rollout, server)
  ) STRICT;
  CREATE TABLE committed (
    lineage TEXT NOT NULL, server TEXT NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (lineage, server)
  ) STRICT;
  CREATE TABLE observation (
    server TEXT NOT NULL, name TEXT NOT NULL, at_ms INTEGER NOT NULL, vantage TEXT NOT NULL, fingerprint TEXT,
    not_after_ms INTEGER, reason TEXT, PRIMARY KEY (server, name)
  ) STRICT;
  CREATE TABLE record (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE note (kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)) STRICT;
  `,
  // What was seen at which port, is not known of the old rows; the next apply looks again.
  `
  DROP TABLE observation;
  CREATE TABLE observation (
    server TEXT NOT NULL, name TEXT NOT NULL, port INTEGER NOT NULL, at_ms INTEGER NOT NULL, vantage TEXT NOT NULL,
    fingerprint TEXT, not_after_ms INTEGER, reason TEXT, PRIMARY KEY (server, name, port)
  ) STRICT;
  `,
  // The same of the address.
  `
  DROP TABLE observation;
  CREATE TABLE observation (
    server TEXT NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    vantage TEXT NOT NULL, fingerprint TEXT, not_after_ms INTEGER, reason TEXT, PRIMARY KEY (server, name, address, port)
  ) STRICT;
  `,
]

/** Brings the tables up to date. @throws OnecertError STATE_TOO_NEW */
export function migrate(database: DatabaseSync, path: string): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > migrations.length) {
      fail('STATE_TOO_NEW', {
        what: `${path} was written by a newer onecert`,
        fact: `its schema is ${version}, this onecert knows ${migrations.length}`,
        state: 'nothing was changed',
        next: 'upgrade onecert on this machine',
      })
    }
    for (const migration of migrations.slice(version)) database.exec(migration)
    database.exec(`PRAGMA user_version = ${migrations.length}`)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
