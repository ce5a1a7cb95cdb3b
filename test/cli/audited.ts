import type { Audit } from '../../src/actions/audit.ts'
import { type Finding, finding, inOrder, type Reason } from '../../src/audit/finding.ts'
import { type Subject, subject } from '../../src/audit/subject.ts'

/** An audit of these subjects. */
export function audited(subjects: readonly Subject[]): Audit {
  const servers = new Set(subjects.flatMap(({ server }) => server ?? []))
  return {
    findings: inOrder(subjects.flatMap(({ findings }) => findings)),
    subjects,
    looked: {
      certificates: 1,
      endpoints: servers.size,
      handshakes: 5 * servers.size,
      disks: servers.size,
      upstreams: 0,
    },
  }
}

/** What is found at a server that is looked at in two ways. */
export function serverWith(
  server: string,
  found: { files?: readonly Finding[]; served?: readonly Finding[] } = {},
): Subject[] {
  const base = { certificate: 'www', server }
  const { files = [], served = [] } = found
  const place = `192.0.2.11:443 (www.domain.example)`
  return [
    subject('files', { ...base, findings: files }),
    subject('served', { ...base, site: 'www.domain.example', place, findings: served }),
  ]
}

export function found(reason: Reason, server: string, rest: Partial<Finding> = {}): Finding {
  return finding(reason, { certificate: 'www', server, what: `${reason} it is`, repair: 'onecert apply www', ...rest })
}
