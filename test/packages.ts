import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'

/** A Debian package and why the tests need it. */
export interface DebianPackage {
  readonly name: string
  readonly reason: string
}

export const testPackages: readonly DebianPackage[] = [
  { name: 'nginx', reason: 'a service that is rolled out to' },
  { name: 'libnginx-mod-stream', reason: 'a TLS passthrough balancer in front of a cluster' },
  { name: 'apache2', reason: 'a service whose config test misses a mismatched pair' },
  { name: 'haproxy', reason: 'a service that reads one combined file' },
  { name: 'caddy', reason: 'a service that reads its files with an account of its own, and imports files' },
  { name: 'postfix', reason: 'a service that wants the key before its leaf, and speaks STARTTLS' },
  { name: 'dovecot-imapd', reason: 'a service with IMAP, in TLS and STARTTLS' },
  { name: 'dovecot-pop3d', reason: 'the same with POP3' },
  { name: 'postgresql', reason: 'a service that takes its key from few owners and modes' },
  { name: 'vsftpd', reason: 'a service with STARTTLS in FTP' },
  { name: 'slapd', reason: 'the same in LDAP' },
  { name: 'prosody', reason: 'the same in XMPP' },
  { name: 'mariadb-server', reason: 'the same in the protocol of MySQL' },
  { name: 'gnutls-bin', reason: 'a TLS server that is not of OpenSSL' },
  { name: 'python3', reason: 'another one, of a programming language' },
  { name: 'golang-go', reason: 'the same, with a TLS of its own' },
  { name: 'default-jre-headless', reason: 'another one with its own; it runs Java source as it stands' },
  { name: 'socat', reason: 'speaks to the Runtime API of HAProxy' },
  { name: 'netcat-openbsd', reason: 'the same, where there is no socat' },
  { name: 'inotify-tools', reason: 'sees files as Envoy and Traefik do' },
  { name: 'perl-base', reason: 'the same, where there is no netcat that can' },
  { name: 'python3-minimal', reason: 'the same, where there is no perl' },
  { name: 'acl', reason: 'keys that are opened to others beside owner and mode' },
  { name: 'openssh-server', reason: 'servers to log in to' },
  { name: 'openssh-client', reason: 'ssh is how servers are reached; ssh-keygen makes their keys' },
  { name: 'pebble', reason: 'an ACME CA, with pebble-challtestsrv beside it' },
  { name: 'bind9', reason: 'a name server that takes dynamic updates' },
  { name: 'bind9-dnsutils', reason: 'dig and nsupdate, a second opinion on what was written there' },
  { name: 'pdns-server', reason: 'a name server with an HTTP API, for lexicon' },
  { name: 'pdns-backend-sqlite3', reason: 'where that name server keeps its zones' },
  { name: 'lexicon', reason: 'changes zones at 80 DNS providers; examples/dns/lexicon calls it' },
  { name: 'openssl', reason: 'a second opinion on keys, certificates and handshakes' },
  { name: 'sudo', reason: 'the receiver of an unprivileged deploy account' },
  { name: 'faketime', reason: 'a server whose clock is wrong' },
  { name: 'busybox', reason: 'the receiver under the shell of Alpine' },
  { name: 'age', reason: 'a second opinion on the format of the vault' },
  { name: 'libxml2-utils', reason: 'xmllint, a second opinion on JUnit XML' },
  { name: 'bash', reason: 'the receiver under bash; shell completion' },
  { name: 'dash', reason: 'the receiver under the sh of Debian' },
  { name: 'procps', reason: 'ps shows that no secret is in an argv' },
  { name: 'iproute2', reason: 'ss and ip show who listens where' },
]

const installTimeoutMs = 600_000
const policyFile = '/usr/sbin/policy-rc.d'

/**
 * Sees to it that Debian packages are there: installs what is missing where that is possible (root and apt-get).
 * Services that come along are not started.
 * @throws Error that names the missing packages and the command that installs them
 */
export function installPackages(packages: readonly DebianPackage[]): void {
  const missing = packages.filter(({ name }) => !isInstalled(name))
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name)
  const command = `apt-get install --no-install-recommends ${names.join(' ')}`
  const list = missing.map(({ name, reason }) => `  ${name.padEnd(20)} ${reason}`).join('\n')
  if (process.getuid?.() !== 0 || !hasAptGet()) {
    throw new Error(`missing packages:\n${list}\ninstall them as root, then run again:\n  ${command}`)
  }
  console.log(`installing ${names.join(', ')}`)
  const policy = forbidServiceStarts()
  try {
    leaveUnconfigured()
    aptGet('update', '-qq')
    aptGet('install', '-y', '-qq', '--no-install-recommends', ...names)
  } finally {
    if (policy) rmSync(policyFile)
  }
  const still = names.filter((name) => !isInstalled(name))
  if (still.length > 0) throw new Error(`${still.join(', ')}: still missing after\n  ${command}`)
}

function isInstalled(name: string): boolean {
  const { stdout } = spawnSync('dpkg-query', ['--status', name], { encoding: 'utf8' })
  return /^Status: .* installed$/m.test(stdout ?? '')
}

function hasAptGet(): boolean {
  return spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0
}

function aptGet(...words: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync('apt-get', words, {
    encoding: 'utf8',
    timeout: installTimeoutMs,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (status === 0) return
  throw new Error(`apt-get ${words.join(' ')} failed: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`)
}

/** A mail server of its own is not wanted on the machine that tests. What was answered before stays. */
function leaveUnconfigured(): void {
  if (isInstalled('postfix')) return
  const input = 'postfix postfix/main_mailer_type select No configuration\n'
  spawnSync('debconf-set-selections', { input, stdio: ['pipe', 'ignore', 'ignore'] })
}

/** invoke-rc.d starts nothing while this file says 101. One that is there already is somebody else's and stays. */
function forbidServiceStarts(): boolean {
  try {
    const file = openSync(policyFile, 'wx', 0o755)
    writeSync(file, '#!/bin/sh\nexit 101\n')
    closeSync(file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
