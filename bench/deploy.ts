import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Sold } from '../test/authority.ts'
import { testPackages } from '../test/packages.ts'
import { type RealFleet, type RealServer, startFleet } from '../test/real/fleet.ts'
import type { Bench } from './bench.ts'

const run = promisify(execFile)
const servers = 50
const parallel = 16
const timeoutMs = 600_000

/**
 * One certificate to 50 servers, each with a real sshd and nginx: `onecert apply` with all checks and the proof by
 * handshake, against ways that copy and reload, and check nothing.
 *
 * `renew` is what happens all year: the key is kept. The peers carry it again, for they do not know that it is there.
 * `rekey` carries a new key to every server, which keeps the post-quantum key exchange on.
 */
export const deploy: Bench = {
  name: 'deploy',
  unit: 'ms/server',
  runs: 3,
  packages: [...testPackages, { name: 'ansible-core', reason: 'a peer: copy and handler' }],
  async prepare(say) {
    say(`starting ${servers} sshd and ${servers} nginx`)
    // scp speaks SFTP.
    const server = { kind: 'nginx', sshd: { lines: ['Subsystem sftp internal-sftp'] } } as const
    const names = Array.from({ length: servers }, (_, at) => `server-${at + 1}`)
    const fleet = await startFleet(Object.fromEntries(names.map((name) => [name, server])))
    // The canary is one server by itself; the others follow in one wave, as the peers do it.
    const first = await fleet.buy()
    say('the first rollout')
    await apply(fleet)
    const peers = await preparePeers(fleet)
    const kept = () => fleet.buy({ keys: first.keys })
    const theirs = (order: () => Promise<Sold>) =>
      Object.fromEntries(Object.entries(peers).map(([name, peer]) => [name, () => timed(fleet, order, peer)]))
    const fresh = () => fleet.buy()
    return {
      variants: [
        { variant: 'renew', ours: () => timed(fleet, kept, () => apply(fleet)), peers: theirs(kept) },
        { variant: 'rekey', ours: () => timed(fleet, fresh, () => apply(fleet)), peers: theirs(fresh) },
      ],
      [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
    }
  },
}

/** Milliseconds a server, from the command's start to its end; then each server is looked at. */
async function timed(fleet: RealFleet, order: () => Promise<Sold>, way: () => Promise<unknown>): Promise<number> {
  const { fingerprint } = await order()
  const startedMs = performance.now()
  await way()
  const elapsedMs = performance.now() - startedMs
  for (const server of fleet.servers) await serves(server, fingerprint)
  return elapsedMs / servers
}

/** The peers' reload returns before nginx has the new certificate: they get time for it that is not counted. */
async function serves(server: RealServer, fingerprint: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await server.served().catch(() => '')) === fingerprint) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`${server.name} does not serve what was carried to it`)
}

async function apply(fleet: RealFleet): Promise<void> {
  const { exit, stderr } = await fleet.run('apply', '--parallel', String(parallel))
  if (exit !== 0) throw new Error(stderr)
}

/** Where the peers write: into what onecert made of the explicit paths, so that all write to the same files. */
async function preparePeers(fleet: RealFleet): Promise<Record<string, () => Promise<unknown>>> {
  const { directory } = fleet
  const known = join(directory, 'known_hosts')
  const lines = fleet.servers.map(({ sshd }) => `[${sshd.address}]:${sshd.port} ${sshd.hostKeys[0]?.publicKey}`)
  await writeFile(known, `${lines.join('\n')}\n`)
  const config = join(directory, 'ssh_config')
  const hosts = fleet.servers.map(
    ({ name, sshd }) =>
      `Host ${name}\n  HostName ${sshd.address}\n  Port ${sshd.port}\n  User ${sshd.user}\n  IdentityFile ${sshd.clientKey}\n`,
  )
  await writeFile(
    config,
    `${hosts.join('')}Host *\n  UserKnownHostsFile ${known}\n  BatchMode yes\n  IdentitiesOnly yes\n`,
  )

  const bought = join(directory, 'bought')
  const bundle = `cat ${bought}/leaf.pem ${bought}/chain.pem`
  // What a careful person writes: both files beside their places, then renamed; one ssh a server.
  const loop = join(directory, 'loop')
  await writeFile(
    loop,
    `#!/bin/sh\n{ ${bundle}; echo; cat ${bought}/key.pem; } | ssh -F ${config} "$1" "umask 077; cd '$2' && cat >new && ` +
      `sed '/PRIVATE KEY/,\\$d' new >fullchain.new && sed -n '/PRIVATE KEY/,\\$p' new >privkey.new && rm new && ` +
      `mv fullchain.new fullchain.pem && mv privkey.new privkey.pem && $3"\n`,
    { mode: 0o755 },
  )
  // acme.sh's hook with scp: one command after the other, one server after the other.
  const acme = join(directory, 'acme')
  await writeFile(
    acme,
    `#!/bin/sh\nset -e\n${bundle} >${directory}/fullchain.pem\n` +
      `scp -q -F ${config} ${bought}/key.pem "$1:$2/privkey.pem"\nscp -q -F ${config} ${directory}/fullchain.pem "$1:$2/fullchain.pem"\n` +
      `ssh -F ${config} "$1" "$3"\n`,
    { mode: 0o755 },
  )
  const place = ({ base }: RealServer) => join(base, 'current')
  const reload = ({ service }: RealServer) => service.reload.join(' ')
  const each = fleet.servers.map((server) => `${server.name}\n${place(server)}\n${reload(server)}`).join('\n')
  const list = join(directory, 'servers')
  await writeFile(list, `${each}\n`)
  const xargs = (script: string, at: number) =>
    run('sh', ['-c', `xargs -d '\\n' -n 3 -P ${at} ${script} <${list}`], { timeout: timeoutMs })
  const ansible = await preparePlaybook(fleet, config, place, reload)
  return { ansible, 'acme.sh': () => xargs(acme, 1), 'shell loop': () => xargs(loop, parallel) }
}

async function preparePlaybook(
  { directory, servers: all }: RealFleet,
  config: string,
  place: (server: RealServer) => string,
  reload: (server: RealServer) => string,
): Promise<() => Promise<unknown>> {
  const inventory = join(directory, 'inventory')
  const playbook = join(directory, 'playbook.yaml')
  const settings = join(directory, 'ansible.cfg')
  const rows = all.map((server) => `${server.name} place=${place(server)} reload="${reload(server)}"`)
  await writeFile(inventory, `[all]\n${rows.join('\n')}\n[all:vars]\nansible_python_interpreter=/usr/bin/python3\n`)
  await writeFile(
    settings,
    `[defaults]\nforks = 20\ngathering = explicit\n[ssh_connection]\npipelining = True\nssh_args = -F ${config} -o ControlMaster=auto -o ControlPersist=60s\n`,
  )
  await writeFile(
    playbook,
    `- hosts: all
  gather_facts: false
  tasks:
    - copy: { content: "{{ lookup('file', '${directory}/bought/leaf.pem') }}\\n{{ lookup('file', '${directory}/bought/chain.pem') }}\\n", dest: "{{ place }}/fullchain.pem", mode: "0644" }
      notify: reload
    - copy: { src: ${directory}/bought/key.pem, dest: "{{ place }}/privkey.pem", mode: "0600" }
      notify: reload
  handlers:
    - name: reload
      command: "{{ reload }}"
`,
  )
  const environment = { ...process.env, ANSIBLE_CONFIG: settings, ANSIBLE_HOME: join(directory, 'ansible') }
  return async () => {
    await run('ansible-playbook', ['-i', inventory, playbook], { env: environment, timeout: timeoutMs })
    // A run a day finds no connection of the day before.
    await run('sh', [
      '-c',
      `for socket in ${directory}/ansible/cp/*; do [ -S "$socket" ] && ssh -o ControlPath="$socket" -O exit x 2>/dev/null; done; true`,
    ])
  }
}
