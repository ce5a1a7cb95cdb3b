import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Server, SshReach } from '../../src/fleet/fleet.ts'
import { childEnvironment } from '../../src/reach/environment.ts'
import { remoteCommand, type SshOptions, sshArguments } from '../../src/reach/ssh-arguments.ts'
import { explainSshFailure } from '../../src/reach/ssh-failure.ts'

const pin = `SHA256:${'A'.repeat(43)}`
const reach: SshReach = { kind: 'ssh', destination: 'deploy@eu-1', hostKeys: [pin], sudo: false }
const server = { name: 'eu-1', reach } as unknown as Server
const options: SshOptions = {
  carriesKey: false,
  algorithms: {
    keyExchanges: ['curve25519-sha256', 'sntrup761x25519-sha512@openssh.com', 'mlkem768x25519-sha256'],
    hostKeys: ['ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com', 'ecdsa-sha2-nistp256', 'ssh-rsa', 'rsa-sha2-512'],
  },
  connectTimeoutMs: 15_000,
  withoutAlgorithms: [],
  forwards: [],
}

describe('the argv of ssh', () => {
  test('a key travels under a post-quantum key exchange, put first; without one the cheap exchange is', () => {
    const kex = (carriesKey: boolean) =>
      sshArguments(reach, { ...options, carriesKey }).find((word) => word.startsWith('KexAlgorithms='))
    assert.equal(kex(true), 'KexAlgorithms=^mlkem768x25519-sha256,sntrup761x25519-sha512@openssh.com')
    assert.equal(kex(false), 'KexAlgorithms=^curve25519-sha256')
  })

  test('what decides about trust cannot be weakened by ssh_config: it stands in the argv, each once', () => {
    const argv = sshArguments(reach, options)
    for (const setting of [
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
      'UpdateHostKeys=no',
      'VerifyHostKeyDNS=no',
      'UserKnownHostsFile=none',
      'GlobalKnownHostsFile=none',
      'ForwardAgent=no',
      'ControlPath=none',
      'PermitLocalCommand=no',
    ])
      assert.equal(argv.filter((word) => word === setting).length, 1, setting)
    assert.ok(argv.some((word) => word.startsWith('KnownHostsCommand=') && word.includes(pin)))
  })

  test('host keys of each strong kind that ssh knows are taken, but for certificates and kinds that were tried', () => {
    const given = (changes: Partial<SshOptions>) =>
      sshArguments(reach, { ...options, ...changes }).find((word) => word.startsWith('HostKeyAlgorithms='))
    assert.equal(given({}), 'HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512')
    assert.equal(given({ withoutAlgorithms: ['ssh-ed25519'] }), 'HostKeyAlgorithms=ecdsa-sha2-nistp256,rsa-sha2-512')
    const old = { ...options.algorithms, hostKeys: [] }
    assert.equal(
      given({ algorithms: old, withoutAlgorithms: ['ssh-ed25519'] }),
      'HostKeyAlgorithms=-*-cert-v01@openssh.com,ssh-ed25519',
    )
  })

  test('without a confirmed host key no key is accepted at all', () => {
    const argv = sshArguments({ ...reach, hostKeys: [] }, options)
    assert.ok(argv.includes('KnownHostsCommand=/bin/true'))
    const hostile = sshArguments({ ...reach, hostKeys: [`${pin}) echo x ;; *`] }, options)
    assert.ok(hostile.includes('KnownHostsCommand=/bin/true'), 'what is no fingerprint gets into no command')
  })

  test('the destination comes behind --, and no word is a command of ours', () => {
    const argv = sshArguments({ ...reach, destination: '-oProxyCommand=x' }, options)
    assert.deepEqual(argv.slice(-2), ['--', '-oProxyCommand=x'])
  })
})

test('behind sudo the installed receiver comes first, but not where it is to be replaced', () => {
  const decoded = (command: string) =>
    [...command.matchAll(/printf %s ([A-Za-z0-9+/=]+)/g)].map(([, text = '']) => Buffer.from(text, 'base64').toString())
  const first = remoteCommand('receiver text', { sudo: true }, false)
  assert.match(decoded(first)[0] ?? '', /^if \[ -x \/usr\/local\/lib\/onecert\/receiver \]; then exec sudo -n/)
  const replacing = remoteCommand('receiver text', { sudo: true }, true)
  assert.match(replacing, /^exec sudo -n sh -c /)
  assert.deepEqual(decoded(replacing), ['receiver text'])
  for (const command of [first, replacing, remoteCommand("it's", { sudo: false }, false)])
    assert.match(command, /^[\x20-\x7e]+$/, 'one line that any login shell passes on')
})

describe('why ssh failed', () => {
  const connecting = 'debug1: Connecting to eu-1 [192.0.2.11] port 22.\n'
  const presented = `debug1: Server host key: ssh-ed25519 SHA256:${'B'.repeat(43)}\n`
  for (const [stderr, code, fact] of [
    ['ssh: Could not resolve hostname eu-1: Name or service not known', 'SSH_NAME_NOT_FOUND', /Could not resolve/],
    [`${connecting}ssh: connect to host eu-1 port 22: Connection refused`, 'SSH_REFUSED', /192\.0\.2\.11/],
    [`${connecting}ssh: connect to host eu-1 port 22: Connection timed out`, 'SSH_TIMEOUT', /timed out/],
    [`${connecting}ssh: connect to host eu-1 port 22: No route to host`, 'SSH_TIMEOUT', /No route/],
    [`${connecting}kex_exchange_identification: banner line contains invalid characters`, 'SSH_NOT_SSH', /192/],
    [
      `${connecting}${presented}Host key verification failed.`,
      'SSH_HOST_KEY_CHANGED',
      /presented ssh-ed25519 SHA256:BBB.*confirmed SHA256:AAA/,
    ],
    [
      `${connecting}debug1: Offering public key: /root/.ssh/id ED25519 SHA256:x\ndeploy@eu-1: Permission denied (publickey).`,
      'SSH_AUTH_FAILED',
      /takes publickey; keys offered/,
    ],
    [
      `${connecting}@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermissions 0644 for '/root/.ssh/id' are too open.\nPermission denied (publickey).`,
      'SSH_KEY_TOO_OPEN',
      /\/root\/\.ssh\/id has mode 0644/,
    ],
    [
      `${connecting}debug1: Authenticated to eu-1\nsudo: debug1: client_input_channel_req: channel 0\na password is required`,
      'SUDO_NEEDS_PASSWORD',
      /a password is required/,
    ],
    [
      `${connecting}debug1: Authenticated to eu-1\nsudodebug1: client_input_channel_req: channel 0\r\n: a password is required\n`,
      'SUDO_NEEDS_PASSWORD',
      /^sudo: a password is required$/,
    ],
    [`${connecting}Authenticated to eu-1\nclient_loop: send disconnect: Broken pipe`, 'SSH_LOST', /Broken pipe/],
    ['something that nobody has seen yet', 'SSH_FAILED', /nobody has seen/],
  ] as const) {
    test(code + (stderr.includes('route') ? ', no route' : stderr.includes('sudodebug') ? ', cut in two' : ''), () => {
      const error = explainSshFailure({ server, reach, stderr, elapsedMs: 1_234 })
      assert.equal(error.code, code)
      assert.match(error.failure.fact ?? '', fact)
      assert.ok(error.failure.state && error.failure.next, 'says the state and what to do')
      assert.doesNotMatch(error.failure.next, /apply/, 'it may have been a command that only looks')
    })
  }

  test('an unknown host key is another matter than a changed one', () => {
    const unknown = { ...reach, hostKeys: [] }
    const stderr = `${connecting}${presented}Host key verification failed.`
    assert.equal(explainSshFailure({ server, reach: unknown, stderr, elapsedMs: 1 }).code, 'SSH_HOST_KEY_UNKNOWN')
  })

  test('what a server says is made harmless before it is printed', () => {
    const stderr = `${connecting}\u001b]0;owned\u0007ssh: Connection refused`
    const { failure } = explainSshFailure({ server, reach, stderr, elapsedMs: 1 })
    assert.doesNotMatch(JSON.stringify(failure), /\\u001b|\\u0007/)
  })
})

test('a child process sees an allow-list of our environment', () => {
  process.env.ONECERT_CANARY = 'secret'
  try {
    assert.ok(!Object.values(childEnvironment()).includes('secret'))
    assert.equal(childEnvironment().PATH, process.env.PATH)
  } finally {
    delete process.env.ONECERT_CANARY
  }
})
