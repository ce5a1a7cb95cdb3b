import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { installedReceiver } from '../../src/reach/receiver.ts'
import { type RealServer, siteName, startFleet } from '../real/fleet.ts'

const run = promisify(execFile)
const account = 'onecert-deploy'

/**
 * Gives a server places of its own for what enrolling writes, and an account that is not root: mounts that only its sshd
 * sees, so that the machine stays as it is.
 */
const ownPlaces = `
mount -t tmpfs tmpfs /usr/local/lib
mount -t tmpfs tmpfs /root
mkdir -m 0700 /root/.ssh
mount -t tmpfs tmpfs /home
mkdir -p -m 0700 /home/${account}/.ssh
mount -t tmpfs tmpfs /mnt
for file in passwd group shadow; do cp -p /etc/$file /mnt/$file; done
echo '${account}:x:4711:4711::/home/${account}:/bin/sh' >>/mnt/passwd
echo '${account}:x:4711:' >>/mnt/group
echo '${account}:*:20000:0:99999:7:::' >>/mnt/shadow
for file in passwd group shadow; do mount --bind /mnt/$file /etc/$file; done
chown -R 4711:4711 /home/${account}
mkdir /mnt/sudoers.d
mount --bind /mnt/sudoers.d /etc/sudoers.d
`

const sshd = { mounts: ownPlaces }

async function makeDeployKey(server: RealServer): Promise<string> {
  const file = join(server.sshd.directory, 'deploy')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'deploy', '-f', file])
  return file
}

function loginWith(server: RealServer, identity: string, ...words: string[]) {
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes']
  const argv = ['-F', 'none', ...options.flatMap((option) => ['-o', option]), '-i', identity]
  const { sshd } = server
  const child = run(
    'ssh',
    [...argv, '-p', String(sshd.port), ...words.slice(0, -1), `${sshd.user}@${sshd.address}`, words.at(-1) ?? ''],
    { timeout: 20_000 },
  )
  child.child.stdin?.end('touch /tmp/onecert-was-here\n')
  return child.then(
    ({ stdout, stderr }) => ({ stdout, stderr }),
    (error: { stdout: string; stderr: string }) => ({ stdout: error.stdout, stderr: error.stderr }),
  )
}

test('an enrolled deploy key carries certificates, and can do nothing else on that server', async () => {
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd } })
  const server = fleet.server('eu-1')
  const deployKey = await makeDeployKey(server)
  const enrolled = await fleet.run('server', 'enrol', 'eu-1', '--deploy-key', `${deployKey}.pub`)
  assert.equal(enrolled.exit, 0, enrolled.stderr)
  assert.match(enrolled.stdout, /may run it, and nothing else/)

  await fleet.configure((document) => {
    document.servers['eu-1'].ssh.identity = deployKey
  })
  const sold = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.equal(await server.served(), sold.fingerprint)

  const greeting = /^onecert-receiver 1 [0-9a-f]{64}\n/
  const command = await loginWith(server, deployKey, 'id; cat /etc/shadow')
  assert.match(command.stdout, greeting, 'the receiver runs in place of the command')
  assert.ok(!command.stdout.includes('uid='))
  assert.match(command.stdout, /fail RECEIVER_PROTOCOL/, 'and takes no command on its stdin')
  const shell = await loginWith(server, deployKey, '-tt', 'sh')
  assert.match(shell.stderr, /PTY allocation request failed/)
  const forward = await loginWith(
    server,
    deployKey,
    '-o',
    'ExitOnForwardFailure=yes',
    '-R',
    '127.0.0.1:0:127.0.0.1:1',
    'x',
  )
  assert.match(forward.stderr, /remote port forwarding failed/)
  for (const verb of ['install /usr/local/lib/onecert/other', 'authorize\nssh-ed25519 AAAA\n.']) {
    const child = run(
      'ssh',
      [
        '-F',
        'none',
        '-o',
        'StrictHostKeyChecking=no',
        '-o',
        'UserKnownHostsFile=/dev/null',
        '-i',
        deployKey,
        '-p',
        String(server.sshd.port),
        `${server.sshd.user}@${server.sshd.address}`,
      ],
      { timeout: 20_000 },
    )
    child.child.stdin?.end(`${verb}\n`)
    assert.match((await child).stdout, /fail RECEIVER_PROTOCOL why=installed/)
  }

  // A fleet file that asks for another command needs the receiver to be enrolled again: it is no data.
  await fleet.configure((document) => {
    document.servers['eu-1'].ssh.identity = deployKey
    document.servers['eu-1'].service.nginx.reload = ['/bin/touch', '/tmp/onecert-was-here']
  })
  await fleet.buy()
  const outdated = await fleet.run('apply')
  assert.equal(outdated.exit, 75)
  assert.match(outdated.stderr, /RECEIVER_OUTDATED/)
  assert.match(outdated.stderr, /onecert server enrol eu-1/)
  const asDeployKey = await fleet.run('server', 'enrol', 'eu-1')
  assert.equal(asDeployKey.exit, 78)
  assert.match(asDeployKey.stderr, /RECEIVER_OUTDATED.*may run the receiver/)
  const { user, address, clientKey } = server.sshd
  const asRoot = await fleet.run('server', 'enrol', 'eu-1', '--as', `${user}@${address}`, '--identity-file', clientKey)
  assert.equal(asRoot.exit, 0, asRoot.stderr)
  assert.ok(!(await fleet.run('apply')).stderr.includes('RECEIVER_OUTDATED'))
  assert.equal(await server.served(), sold.fingerprint)
})

test('a balancer whose control has the deploy key of an enrolled server: the note says which key it needs', async () => {
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd }, 'us-1': 'nginx' })
  const { sshd: at, service } = fleet.server('eu-1')
  const deployKey = await makeDeployKey(fleet.server('eu-1'))
  const enrolled = await fleet.run('server', 'enrol', 'eu-1', '--deploy-key', `${deployKey}.pub`)
  assert.equal(enrolled.exit, 0, enrolled.stderr)
  await fleet.configure((document) => {
    const { ssh, 'host-key': hostKey } = document.servers['eu-1']
    const haproxy = { socket: '/run/haproxy/admin.sock', backend: 'be_www' }
    const control = { ssh: { ...ssh, identity: deployKey }, 'host-key': hostKey, haproxy }
    document.sites[siteName] = {
      certificate: 'www',
      'load-balancer': { address: service.address, port: service.port, servers: ['eu-1', 'us-1'], control },
    }
  })
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(
    stderr,
    /us-1 is reloaded without a drain: the key for the balancer of www\.lab\.example may run the receiver/,
  )
  assert.match(stderr, /needs an "identity" that may run a command there/)
  assert.doesNotMatch(stderr, /server enrol/)
  assert.equal(at.user, 'root')
})

test('an account that is not root: the preflight prints the sudoers line, and with it the rollout goes through', async () => {
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd: { ...sshd, user: account } } })
  const server = fleet.server('eu-1')
  const asAccount = (user: string) =>
    fleet.configure((document) => {
      const { ssh } = document.servers['eu-1']
      document.servers['eu-1'].ssh = {
        ...ssh,
        destination: `${user}@${server.sshd.address}`,
        ...(user === account && { sudo: true }),
      }
    })
  await asAccount(account)
  const sold = await fleet.buy()
  const refused = await fleet.run('apply')
  assert.equal(refused.exit, 75)
  assert.match(refused.stderr, /SUDO_NEEDS_PASSWORD/)
  const [line = ''] = new RegExp(`^\\s*(${account} ALL=.*)$`, 'm').exec(refused.stderr)?.slice(1) ?? []
  assert.equal(line, `${account} ALL=(root) NOPASSWD: ${installedReceiver}`)
  assert.equal(await server.served(), server.original)

  // What the message says: the line by root, the receiver by an account that may.
  const inside = (script: string) =>
    run('nsenter', ['--mount', '--target', String(server.sshd.pid), 'sh', '-ec', script])
  await inside(`umask 337; echo '${line}' >/etc/sudoers.d/onecert; visudo -cf /etc/sudoers.d/onecert`)
  await asAccount('root')
  const enrolled = await fleet.run('server', 'enrol', 'eu-1')
  assert.equal(enrolled.exit, 0, enrolled.stderr)
  await asAccount(account)
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.equal(await server.served(), sold.fingerprint)
})
