import type { ResumptionStatus } from '../actions/resumption.ts'
import type { Terminal } from './terminal.ts'

/** One line about the servers of one site and software. */
export function resumptionText(
  { site, service, servers, hidden, verdict, reason }: ResumptionStatus,
  terminal: Terminal,
): string {
  const where = `${servers.length} servers (${service}, ${site})`
  const but = hidden.length > 0 ? `; not looked at from here: ${hidden.join(', ')}` : ''
  if (verdict === 'proven') return `sessions resume across ${where}${but}`
  if (verdict === 'unknown') return `whether sessions resume across ${where} could not be seen: ${reason}${but}`
  return `${terminal.style('yellow', 'sessions do not resume')} across ${where}: ${reason}${but}`
}
