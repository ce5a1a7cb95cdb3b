import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Starttls } from '../../src/fleet/fleet.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { type CertificateFiles, writeCertificate } from '../real/certificate.ts'
import { makeDirectory } from '../real/running.ts'
import { type Place, startTlsProgram } from '../real/tls-program.ts'

const name = 'www.lab.example'

let directory: string
let files: CertificateFiles
before(async () => {
  directory = await makeDirectory('starttls')
  files = await writeCertificate(directory, [name])
})
after(() => rm(directory, { recursive: true }))

/** Postfix, Dovecot and PostgreSQL are in test/services. */
const servers: Partial<Record<Starttls, (place: Place) => Promise<readonly string[]>>> = {
  async ftp({ address, port, directory: home }) {
    const configuration = join(home, 'vsftpd.conf')
    const settings = {
      listen: 'YES',
      listen_ipv6: 'NO',
      listen_address: address,
      listen_port: port,
      background: 'NO',
      local_enable: 'YES',
      seccomp_sandbox: 'NO',
      secure_chroot_dir: '/var/run',
      ssl_enable: 'YES',
      rsa_cert_file: files.chain,
      rsa_private_key_file: files.key,
      ssl_ciphers: 'HIGH',
    }
    await writeFile(
      configuration,
      Object.entries(settings)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    )
    return ['/usr/sbin/vsftpd', configuration]
  },
  async ldap({ address, port, directory: home }) {
    const configuration = join(home, 'slapd.conf')
    await writeFile(
      configuration,
      `include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_null
TLSCertificateFile ${files.chain}
TLSCertificateKeyFile ${files.key}
database null
suffix "dc=lab,dc=example"
`,
    )
    return ['/usr/sbin/slapd', '-d', '0', '-f', configuration, '-h', `ldap://${address}:${port}`]
  },
  async xmpp({ address, port, directory: home }) {
    const configuration = join(home, 'prosody.cfg.lua')
    await mkdir(join(home, 'data'))
    await writeFile(
      configuration,
      `run_as_root = true
daemonize = false
pidfile = "${home}/prosody.pid"
data_path = "${home}/data"
interfaces = { "${address}" }
c2s_ports = { ${port} }
s2s_ports = {}
modules_enabled = { "saslauth", "tls" }
modules_disabled = { "s2s", "http", "posix" }
log = { error = "*console" }
VirtualHost "${name}"
  ssl = { key = "${files.key}", certificate = "${files.chain}" }
`,
    )
    return ['/usr/bin/prosody', '-F', '--config', configuration]
  },
  async mysql({ address, port, directory: home }) {
    const data = join(home, 'data')
    const account = '--user=root'
    const make = ['--no-defaults', account, `--datadir=${data}`, '--skip-test-db', '--skip-name-resolve']
    await promisify(execFile)('mariadb-install-db', make)
    return [
      ...['/usr/sbin/mariadbd', '--no-defaults', account, `--datadir=${data}`, `--bind-address=${address}`],
      ...[`--port=${port}`, `--socket=${home}/socket`, `--ssl-cert=${files.chain}`, `--ssl-key=${files.key}`],
    ]
  },
}

describe('TLS that begins inside of another protocol, at real servers', () => {
  for (const [starttls, start] of Object.entries(servers) as [Starttls, (place: Place) => Promise<string[]>][]) {
    test(starttls, async () => {
      await using server = await startTlsProgram(starttls, start)
      const { address, port } = server
      const seen = await handshake({ address, port, name, starttls }, { timeoutMs: 10_000 })
      assert.deepEqual([seen.chain, seen.way], [[files.fingerprint], 'own'], seen.wayReason ?? '')
    })
  }
})
