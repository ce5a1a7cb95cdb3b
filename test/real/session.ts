import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import type { TicketState } from '../../src/rollout/tickets.ts'
import { ticketDirectives, ticketsPath } from '../../src/services/tickets.ts'
import { openStore } from '../../src/store/sqlite.ts'
import { type RealFleet, type RealServer, siteName } from './fleet.ts'

/** What a browser keeps of a visit. */
export interface KeptSession {
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly session: Buffer
}

/** Visits a server with a whole request, and keeps the last session that it gave. */
export async function keepSession(server: RealServer, version: KeptSession['version']): Promise<KeptSession> {
  const { socket, session } = talk(server, version)
  await once(socket, 'close')
  const kept = session()
  if (!kept) throw new Error(`${server.name} gave no session (${version})`)
  return { version, session: kept }
}

/** Whether a server goes on with a session that another one gave. */
export async function goesOn(server: RealServer, { version, session }: KeptSession): Promise<boolean> {
  const { socket } = talk(server, version, session)
  let reused: boolean | null = null
  socket.once('secureConnect', () => {
    reused = socket.isSessionReused()
  })
  await once(socket, 'close')
  if (reused === null) throw new Error(`no handshake with ${server.name}`)
  return reused
}

function talk({ service }: RealServer, version: KeptSession['version'], session?: Buffer) {
  const socket = connect({
    host: service.address,
    port: service.port,
    servername: siteName,
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session && { session }),
  })
  let last: Buffer | null = null
  socket.on('session', (given: Buffer) => {
    last = given
  })
  socket.setTimeout(5_000, () => socket.destroy(new Error(`${service.address} says nothing`)))
  socket.once('secureConnect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${siteName}\r\nConnection: close\r\n\r\n`))
  socket.resume()
  return { socket, session: () => last }
}

/** The lines that an operator adds to the configuration once the keys are there, and the reload. */
export async function nameTickets(server: RealServer): Promise<void> {
  const path = ticketsPath({ directory: server.base.replace(/\/www$/, '') }, 'www')
  const lines = ticketDirectives(server.kind, path)
  const text = await readFile(server.service.configuration, 'utf8')
  const changed =
    server.kind === 'haproxy'
      ? text.replace(/^ {2}bind .*/m, (bind) => `${bind} ${lines.join(' ')}`)
      : text.replace(/^http \{$/m, (line) => [line, ...lines].join('\n'))
  await writeFile(server.service.configuration, changed)
  await reload(server)
}

export async function forgetNamedTickets(server: RealServer): Promise<void> {
  const text = await readFile(server.service.configuration, 'utf8')
  await writeFile(
    server.service.configuration,
    text.replaceAll(/^ssl_session_ticket_key .*\n/gm, '').replaceAll(/ tls-ticket-keys \S+/g, ''),
  )
  await reload(server)
}

export async function reload({ service }: RealServer): Promise<void> {
  const [program = '', ...words] = service.reload
  await promisify(execFile)(program, words)
}

/** The ticket keys of `www` as onecert notes them. */
export async function ticketState(fleet: RealFleet): Promise<TicketState> {
  return changeState(fleet, (state) => state)
}

/** As if their last rotation were longer ago. */
export async function ageTickets(fleet: RealFleet, byMs: number): Promise<void> {
  await changeState(fleet, (state) => ({ ...state, rotatedAtMs: state.rotatedAtMs - byMs }))
}

async function changeState(fleet: RealFleet, change: (state: TicketState) => TicketState): Promise<TicketState> {
  const store = await openStore(fleet.stateDirectory)
  try {
    const body = await store.changeNote('tickets', 'www', (known) => {
      if (known === null) throw new Error('there are no ticket keys yet')
      return JSON.stringify(change(JSON.parse(known) as TicketState))
    })
    return JSON.parse(body ?? '') as TicketState
  } finally {
    await store.close()
  }
}
