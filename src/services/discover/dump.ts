import type { Service } from '../service.ts'

/** Software whose configuration can be read. */
export const discoverable = ['nginx', 'apache', 'haproxy', 'caddy', 'postfix', 'dovecot', 'postgresql'] as const
export type Discoverable = (typeof discoverable)[number]

const usual: Readonly<Record<Exclude<Discoverable, 'postgresql'>, readonly string[]>> = {
  nginx: ['nginx', '-T'],
  apache: ['apachectl', '-t', '-D', 'DUMP_INCLUDES'],
  haproxy: ['printf', '%s\\n', '/etc/haproxy/haproxy.cfg'],
  caddy: ['caddy', 'adapt', '--pretty', '--config', '/etc/caddy/Caddyfile'],
  postfix: [
    'postconf',
    'smtpd_tls_security_level',
    'smtpd_tls_cert_file',
    'smtpd_tls_key_file',
    'smtpd_tls_chain_files',
    'myhostname',
  ],
  // -P: else the path of the key is hidden. The receiver lets nothing pass but paths.
  dovecot: ['doveconf', '-P', 'ssl', 'ssl_cert', 'ssl_key'],
}

/**
 * The commands that print what a service has as its configuration, or, for HAProxy and Apache, the names of its files. Where
 * the fleet file has a test of its own, it is the configuration of that test.
 */
export function dumpsFor({ kind, test }: Pick<Service, 'kind' | 'test'>): Readonly<Record<string, readonly string[]>> {
  const own = ownDump(kind, test)
  return own === null ? usual : { ...usual, [kind]: own }
}

/**
 * Which software is to be asked for its configuration, so that it is the one that runs there; null: nobody knows how. A test
 * of another shape may be of another configuration than the usual one.
 */
export function dumpable({ kind, test }: Pick<Service, 'kind' | 'test'>, isUsualTest: boolean): Discoverable | null {
  const known = discoverable.find((each) => each === kind)
  return known !== undefined && (isUsualTest || ownDump(kind, test) !== null) ? known : null
}

function ownDump(kind: string, test: readonly string[]): readonly string[] | null {
  const last = test.at(-1)
  switch (kind) {
    case 'nginx':
      return test.includes('-t') ? test.map((word) => (word === '-t' ? '-T' : word)) : null
    case 'apache':
      if (last === 'configtest') return [...test.slice(0, -1), '-t', '-D', 'DUMP_INCLUDES']
      return last === '-t' ? [...test, '-D', 'DUMP_INCLUDES'] : null
    case 'haproxy': {
      const files = test.flatMap((word, at) => (test[at - 1] === '-f' ? [word] : []))
      return files.length > 0 ? ['printf', '%s\\n', ...files] : null
    }
    case 'caddy': {
      // Behind the words that make it another account.
      const at = test.indexOf('validate')
      return at > 0 ? [test[at - 1] ?? 'caddy', 'adapt', '--pretty', ...test.slice(at + 1)] : null
    }
    default:
      return null
  }
}
