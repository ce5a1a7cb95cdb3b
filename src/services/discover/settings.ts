import { type FoundFiles, type FoundSite, splitFiles, unquoted } from './found.ts'

/** `NAME = VALUE`, as postconf, doveconf and postgresql.conf write it; the last one counts. */
function settingsOf(lines: readonly string[]): Map<string, string> {
  const settings = new Map<string, string>()
  for (const line of lines) {
    const [, name, value = ''] = /^\s*([a-z][a-z0-9_]*)\s*[= ]\s*(.*?)\s*(?:#.*)?$/.exec(line) ?? []
    if (name !== undefined) settings.set(name, unquoted(value))
  }
  return settings
}

/** Postfix: the port for mail itself, with STARTTLS. */
export function discoverPostfix(lines: readonly string[]): FoundSite[] {
  const settings = settingsOf(lines)
  const own = settings.get('smtpd_tls_cert_file') ?? ''
  // Key, leaf and intermediates in one file: it goes before the older settings.
  const files = (settings.get('smtpd_tls_chain_files') ?? '').split(/[\s,]+/).filter((path) => path.startsWith('/'))
  const certificates: FoundFiles[] =
    files.length > 0
      ? files.map((chain) => ({ chain, key: null }))
      : own.startsWith('/')
        ? [pair(own, settings.get('smtpd_tls_key_file'))]
        : []
  if (certificates.length === 0) return []
  return [
    { names: [settings.get('myhostname') ?? ''].filter(Boolean), listens: [{ address: null, port: 25 }], certificates },
  ]
}

/** Dovecot: the port of IMAP over TLS. A path is written behind `<`. */
export function discoverDovecot(lines: readonly string[]): FoundSite[] {
  const settings = settingsOf(lines)
  const path = (name: string) => (settings.get(name) ?? '').replace(/^</, '').trim()
  const chain = path('ssl_cert')
  if (!chain.startsWith('/') || settings.get('ssl') === 'no') return []
  return [{ names: [], listens: [{ address: null, port: 993 }], certificates: [pair(chain, path('ssl_key'))] }]
}

/** PostgreSQL: one site for each cluster. */
export function discoverPostgresql(lines: readonly string[]): FoundSite[] {
  return splitFiles(lines).flatMap((file): FoundSite[] => {
    const settings = settingsOf(file.lines)
    const chain = settings.get('ssl_cert_file') ?? ''
    if (settings.get('ssl') !== 'on' || !chain.startsWith('/')) return []
    const port = Number.parseInt(settings.get('port') ?? '', 10)
    const listens = [{ address: null, port: port >= 1 && port <= 65_535 ? port : 5432 }]
    return [{ names: [], listens, certificates: [pair(chain, settings.get('ssl_key_file'))] }]
  })
}

function pair(chain: string, key: string | undefined): FoundFiles {
  return { chain, key: key === undefined || !key.startsWith('/') || key === chain ? null : key }
}
