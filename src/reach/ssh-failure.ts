import { OnecertError, quote } from '../base/errors.ts'
import type { Machine, SshReach } from '../fleet/fleet.ts'
import { installedReceiver } from './receiver.ts'

/** What ssh said while it failed. */
export interface SshFailure {
  readonly server: Machine
  readonly reach: SshReach
  /** Its stderr at LogLevel DEBUG1. */
  readonly stderr: string
  readonly elapsedMs: number
}

/** The fingerprint and type of the host key that was presented; null before it was. */
export function presentedHostKey(stderr: string): { readonly type: string; readonly fingerprint: string } | null {
  const [, type, fingerprint] = /^debug1: Server host key: (\S+) (SHA256:\S+)/m.exec(stderr) ?? []
  return type && fingerprint ? { type: type.replace('-cert-v01@openssh.com', ''), fingerprint } : null
}

export function hostKeyRefused(stderr: string): boolean {
  return /^Host key verification failed\./m.test(stderr)
}

/** Why ssh failed, in the words of the catalogue. Pure. */
export function explainSshFailure({ server, reach, stderr, elapsedMs }: SshFailure): OnecertError {
  const [, connected] = /^debug1: Connecting to (.+?)\.?$/m.exec(stderr) ?? []
  const where = quote(connected ?? `${reach.destination}${reach.port ? ` port ${reach.port}` : ''}`)
  const elapsed = `after ${(elapsedMs / 1000).toFixed(1)} s`
  const state = `nothing was sent to ${server.name}`
  const said = quote(lastWords(stderr), 200)
  const again = 'run the command again'
  const build = (code: OnecertError['code'], what: string, fact: string, next: string) =>
    new OnecertError(code, { what, fact, state, next })
  const has = (pattern: RegExp) => pattern.test(stderr)

  if (hostKeyRefused(stderr)) return hostKeyFailure(server, reach, stderr)
  if (has(/Could not resolve hostname/)) {
    return build(
      'SSH_NAME_NOT_FOUND',
      `the name of ${server.name} does not resolve`,
      `${said} ${elapsed}`,
      `check "ssh: ${reach.destination}" in the fleet file, or ssh_config`,
    )
  }
  if (has(/Connection refused/)) {
    return build(
      'SSH_REFUSED',
      `${server.name} refuses the connection`,
      `${where}: nothing listens there (${elapsed})`,
      `look whether sshd runs on ${server.name}, then ${again}`,
    )
  }
  if (
    has(
      /banner exchange: .*invalid format|kex_exchange_identification: (client sent|banner line)|Bad remote protocol version/,
    )
  ) {
    return build(
      'SSH_NOT_SSH',
      `what listens for ${server.name} is no SSH server`,
      `${where}: ${said}`,
      `check the port of ${server.name}`,
    )
  }
  if (has(/timed out|No route to host|Network is unreachable/)) {
    return build(
      'SSH_TIMEOUT',
      `${server.name} does not answer`,
      `${where}: ${said} (${elapsed})`,
      `look whether ${server.name} is up, then ${again}`,
    )
  }
  if (has(/UNPROTECTED PRIVATE KEY FILE/)) {
    const [, mode = '?', file = 'the key file'] = /Permissions (\d+) for '([^']+)'/.exec(stderr) ?? []
    return build(
      'SSH_KEY_TOO_OPEN',
      'ssh refuses a client key that others can read',
      `${quote(file)} has mode ${quote(mode)}`,
      `chmod 0600 ${quote(file)}`,
    )
  }
  if (has(/Permission denied|Too many authentication failures|No more authentication methods/))
    return authFailure(server, reach, stderr)
  if (
    /sudo: [\s\S]*(a password is required|a terminal is required|no tty present|not allowed|may not run)|is not in the sudoers file/.test(
      withoutDebugging(stderr),
    )
  ) {
    const account = reach.destination.includes('@') ? reach.destination.split('@')[0] : '<account>'
    return new OnecertError('SUDO_NEEDS_PASSWORD', {
      what: `sudo on ${server.name} wants a password from ${account}`,
      fact: said,
      state: `nothing was changed on ${server.name}`,
      next:
        `on ${server.name}, as root: visudo -f /etc/sudoers.d/onecert, with the line\n` +
        `${account} ALL=(root) NOPASSWD: ${installedReceiver}\n` +
        `and install that receiver with an account that is root there: onecert server enrol ${server.name} --as root@HOST`,
    })
  }
  if (has(/Authenticated to|Entering interactive session/)) {
    return new OnecertError('SSH_LOST', {
      what: `the connection to ${server.name} ended`,
      fact: `${said} ${elapsed}`,
      state: `what was swapped on ${server.name} and not confirmed undoes itself there`,
      next: again,
    })
  }
  return build(
    'SSH_FAILED',
    `ssh to ${server.name} failed`,
    `${where}: ${said} (${elapsed})`,
    `ssh -v ${reach.destination}`,
  )
}

function hostKeyFailure(server: Machine, reach: SshReach, stderr: string): OnecertError {
  const presented = presentedHostKey(stderr)
  const seen = presented ? `${presented.type} ${presented.fingerprint}` : 'a host key that ssh did not name'
  if (reach.hostKeys.length === 0 && reach.knownHosts === undefined) {
    return new OnecertError('SSH_HOST_KEY_UNKNOWN', {
      what: `the host key of ${server.name} was not confirmed yet`,
      fact: `${server.name} presents ${quote(seen)}; the fleet file has no host-key`,
      state: `nothing was sent to ${server.name}`,
      next: `onecert server scan ${server.name}`,
    })
  }
  return new OnecertError('SSH_HOST_KEY_CHANGED', {
    what: `${server.name} presents another host key than the one that was confirmed`,
    fact: `presented ${quote(seen)}; confirmed ${reach.knownHosts ?? reach.hostKeys.join(' or ')}`,
    state: `the connection was ended before anything was sent; no key left`,
    next: `find out why, on the console of ${server.name}; if it is right: onecert server scan ${server.name}`,
  })
}

function authFailure(server: Machine, reach: SshReach, stderr: string): OnecertError {
  const user = reach.destination.includes('@') ? reach.destination.split('@')[0] : 'the account of ssh_config'
  const offered = [...stderr.matchAll(/^debug1: Offering public key: (?:.*\s)?(\S+) (SHA256:\S+)/gm)].map(
    ([, type, key]) => `${type} ${key}`,
  )
  const [, methods = 'none'] = /Permission denied \(([^)]*)\)/.exec(stderr) ?? []
  const encrypted = /incorrect passphrase supplied|read_passphrase|passphrase/i.test(stderr)
  const fact = `${user} was refused; the server takes ${quote(methods)}; keys offered: ${quote(offered.join(', ') || 'none', 300)}`
  const state = `nothing was sent to ${server.name}`
  if (encrypted) {
    return new OnecertError('SSH_KEY_ENCRYPTED', {
      what: `the client key for ${server.name} needs its passphrase`,
      fact,
      state,
      next: 'ssh-add the key, so that the agent holds it',
    })
  }
  if (
    offered.length === 0 &&
    /get_agent_identities: ssh_get_authentication_socket|ssh_agent|agent.*(No such file|refused)/i.test(stderr)
  ) {
    return new OnecertError('SSH_AGENT_MISSING', {
      what: `no client key for ${server.name}: there is no agent`,
      fact,
      state,
      next: 'start ssh-agent and ssh-add the key, or name one: ssh: { destination: …, identity: FILE }',
    })
  }
  return new OnecertError('SSH_AUTH_FAILED', {
    what: `${server.name} refuses our client key`,
    fact,
    state,
    next: `put the public key into authorized_keys of ${user} on ${server.name}`,
  })
}

/** A program on the server writes its line in pieces, and ssh says something of its own between any two of them. */
function withoutDebugging(stderr: string): string {
  return stderr.replace(/debug\d: [^\n]*(\n|$)/g, '')
}

/** The last line that is no debugging. */
function lastWords(stderr: string): string {
  const lines = withoutDebugging(stderr)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(OpenSSH_|Transferred|Bytes per second)/.test(line))
  return lines.at(-1)?.trim() ?? 'ssh said nothing'
}
