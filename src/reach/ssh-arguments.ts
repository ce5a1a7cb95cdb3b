import type { SshReach } from '../fleet/fleet.ts'
import { bootstrap, installedReceiver } from './receiver.ts'

export interface SshOptions {
  /** The private key may travel: exchanges that a recording cannot be opened with later come first. */
  readonly carriesKey: boolean
  readonly algorithms: SshAlgorithms
  readonly connectTimeoutMs: number
  /** Host key algorithms that were tried and whose key was not the pinned one. */
  readonly withoutAlgorithms: readonly string[]
  /** `-F`: another ssh_config. */
  readonly configFile?: string
  /** `-L` words: a socket here for a port as seen from there. */
  readonly forwards: readonly string[]
}

/** What the installed ssh knows. */
export interface SshAlgorithms {
  /** `ssh -Q kex`. */
  readonly keyExchanges: readonly string[]
  /** `ssh -Q HostKeyAlgorithms`; empty where it is too old for that question. */
  readonly hostKeys: readonly string[]
}

const postQuantum = ['mlkem768x25519-sha256', 'sntrup761x25519-sha512', 'sntrup761x25519-sha512@openssh.com']
const cheap = ['curve25519-sha256', 'curve25519-sha256@libssh.org']

/**
 * The argv of ssh behind its name. ssh_config is honoured (aliases, ProxyJump, agents, certificates); what decides about
 * trust stands here, where ssh_config cannot weaken it: the first value that ssh reads is the one that counts.
 */
export function sshArguments(reach: SshReach, options: SshOptions): string[] {
  const wanted = (options.carriesKey ? postQuantum : cheap).filter((each) =>
    options.algorithms.keyExchanges.includes(each),
  )
  const settings = [
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    'UpdateHostKeys=no',
    'VerifyHostKeyDNS=no',
    'CheckHostIP=no',
    'NumberOfPasswordPrompts=0',
    'ControlMaster=no',
    'ControlPath=none',
    'PermitLocalCommand=no',
    'RequestTTY=no',
    'EscapeChar=none',
    'ForwardAgent=no',
    'ForwardX11=no',
    'LogLevel=DEBUG1',
    `ConnectTimeout=${Math.max(1, Math.ceil(options.connectTimeoutMs / 1000))}`,
    'ConnectionAttempts=1',
    'ServerAliveInterval=10',
    'ServerAliveCountMax=3',
    'TCPKeepAlive=yes',
    ...(wanted.length > 0 ? [`KexAlgorithms=^${wanted.join(',')}`] : []),
    ...trust(reach, options),
    ...(options.forwards.length > 0
      ? ['ExitOnForwardFailure=no', 'StreamLocalBindUnlink=yes']
      : ['ClearAllForwardings=yes']),
  ]
  return [
    ...(options.configFile ? ['-F', options.configFile] : []),
    '-T',
    '-a',
    '-x',
    ...settings.flatMap((setting) => ['-o', setting]),
    ...options.forwards.flatMap((forward) => ['-L', forward]),
    ...(reach.port !== undefined ? ['-p', String(reach.port)] : []),
    ...(reach.identity !== undefined ? ['-i', reach.identity, '-o', 'IdentitiesOnly=yes'] : []),
    '--',
    reach.destination,
  ]
}

function trust(reach: SshReach, options: SshOptions): string[] {
  if (reach.knownHosts !== undefined) return [`UserKnownHostsFile=${reach.knownHosts}`, 'GlobalKnownHostsFile=none']
  return [
    'UserKnownHostsFile=none',
    'GlobalKnownHostsFile=none',
    `HostKeyAlgorithms=${hostKeyAlgorithms(options)}`,
    `KnownHostsCommand=${pinCommand(reach.hostKeys)}`,
  ]
}

/** By SHA-1, or broken. */
const weakHostKeys = ['ssh-rsa', 'ssh-dss']

/**
 * A pin names one key, so a host certificate is taken as the plain key in it. Named one by one, ssh does not ask the
 * command which of them it knows: one program less for each connection.
 */
function hostKeyAlgorithms({ algorithms, withoutAlgorithms }: SshOptions): string {
  const left = algorithms.hostKeys.filter(
    (each) => !/-cert-v\d+@|^webauthn-/.test(each) && ![...weakHostKeys, ...withoutAlgorithms].includes(each),
  )
  return left.length > 0 ? left.join(',') : `-${['*-cert-v01@openssh.com', ...withoutAlgorithms].join(',')}`
}

const fingerprintGrammar = /^SHA256:[A-Za-z0-9+/]{43}$/

/** ssh asks it for the keys of a host: it names the key presented (%K) if its fingerprint (%f) is pinned, else none. */
function pinCommand(pins: readonly string[]): string {
  const usable = pins.filter((pin) => fingerprintGrammar.test(pin))
  if (usable.length === 0) return '/bin/true'
  return `/bin/sh -c 'case "$1" in ${usable.join('|')}) echo "$2 $3 $4" ;; esac' sh %f %H %t %K`
}

/** One word for sshd to run, whatever the login shell; a forced command there takes its place. */
export function remoteCommand(text: string, { sudo }: Pick<SshReach, 'sudo'>, sentAlong: boolean): string {
  if (!sudo) return `exec ${bootstrap(text)}`
  if (sentAlong) return `exec sudo -n ${bootstrap(text)}`
  // With sudo the installed receiver comes first: only that one can be allowed without allowing everything.
  const encoded = Buffer.from(
    `if [ -x ${installedReceiver} ]; then exec sudo -n ${installedReceiver}; fi; exec sudo -n ${bootstrap(text)}`,
  ).toString('base64')
  return `exec sh -c 'eval "$(printf %s ${encoded} | base64 -d)"' onecert`
}
