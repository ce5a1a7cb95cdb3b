import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Finding } from '../../src/audit/finding.ts'
import { accountIds } from '../real/account.ts'
import { writeCertificate } from '../real/certificate.ts'
import { type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { chooseEndpoint } from '../real/running.ts'

const run = promisify(execFile)

describe('what an audit sees in the files of a server', () => {
  let fleet: RealFleet
  before(async () => {
    fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'caddy', 'db-1': 'postgresql' })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  const audit = async (): Promise<{ exit: number | null; findings: readonly Finding[] }> => {
    const { exit, stdout, stderr } = await fleet.run('audit', '--json')
    assert.notEqual(stdout, '', stderr)
    return { exit, findings: JSON.parse(stdout).findings }
  }
  const nothing = async () => assert.deepEqual((await audit()).findings, [])
  const only = async (reason: string, server: string): Promise<Finding> => {
    const { exit, findings } = await audit()
    const shown = findings.map((each) => `${each.server} ${each.reason}`)
    assert.deepEqual([exit, shown], [1, [`${server} ${reason}`]], JSON.stringify(findings, null, 1))
    return findings[0] as Finding
  }
  const key = (server: string) => join(fleet.server(server).base, 'current', 'privkey.pem')
  const call = async ([program = '', ...words]: readonly string[]) => run(program, words, { timeout: 20_000 })

  test('as a rollout leaves it, for accounts of three kinds: nothing', nothing)

  test('Caddy cannot read its key any more: before it is reloaded nobody would see it', async () => {
    const caddy = fleet.server('us-1')
    const { gid } = await accountIds('caddy')
    await chown(key('us-1'), 0, 0)
    await assert.rejects(call(caddy.service.test), /permission denied/)
    const { what, disk, repair } = await only('key-unreadable', 'us-1')
    assert.match(what, /the account caddy.* cannot read it/)
    assert.equal(disk, 'mode 640, root:root')
    assert.match(repair, /chown root:caddy .*\/privkey\.pem && chmod 0640 /)
    await chown(key('us-1'), 0, gid)
    await call(caddy.service.test)

    await chmod(caddy.base, 0o700)
    await assert.rejects(call(caddy.service.test), /permission denied/)
    const passing = await only('key-unreadable', 'us-1')
    assert.match(passing.what, /cannot pass .*\/onecert\/www$/)
    await chmod(caddy.base, 0o755)
    await nothing()
  })

  test('PostgreSQL refuses a key of its own that its group can read', async () => {
    const { uid, gid } = await accountIds('postgres')
    await chown(key('db-1'), uid, gid)
    const { what } = await only('key-unreadable', 'db-1')
    assert.match(what, /takes no key of postgres that is open wider than 0600/)
    await chown(key('db-1'), 0, gid)
    await nothing()
  })

  test('an ACL lets another account read a key, and its mode does not show it', async () => {
    const asDaemon = () => run('setpriv', ['--reuid=daemon', '--clear-groups', 'cat', key('eu-1')])
    await assert.rejects(asDaemon(), /Permission denied/)
    await run('setfacl', ['-m', 'u:daemon:r', key('eu-1')])
    await asDaemon()
    const { what, severity } = await only('key-readable', 'eu-1')
    assert.match(what, /the account daemon \(by its ACL\)/)
    assert.equal(severity, 'critical')
    await run('setfacl', ['-b', key('eu-1')])
    await nothing()
  })

  test('a group that the fleet file does not name; and a mode that it does not name either', async () => {
    const { gid } = await accountIds('daemon')
    await chown(key('eu-1'), 0, gid)
    await chmod(key('eu-1'), 0o640)
    assert.match((await only('key-readable', 'eu-1')).what, /the group daemon$/)
    await chown(key('eu-1'), 0, 0)
    const { expected, disk } = await only('key-rights', 'eu-1')
    assert.deepEqual([expected, disk], ['mode 0600', 'mode 640, root:root'])
    await chmod(key('eu-1'), 0o600)
    await nothing()
  })

  test('a second virtual host of the same name has other files; where it is looked at, all is right', async () => {
    const { service, served } = fleet.server('eu-1')
    const before = await served()
    const folder = join(fleet.directory, 'eu-1', 'old')
    await mkdir(folder)
    const other = await writeCertificate(folder, [siteName])
    const configuration = await readFile(service.configuration, 'utf8')
    const { port } = await chooseEndpoint({ address: service.address })
    const block = `server { listen ${service.address}:${port} ssl; server_name ${siteName}; ssl_certificate ${other.chain}; ssl_certificate_key ${other.key}; }`
    await writeFile(service.configuration, configuration.replace(/\}\s*$/, `${block}\n}\n`))
    await call(service.test)
    await call(service.reload)
    const { place, site, what } = await only('other-files', 'eu-1')
    assert.deepEqual([place, site], [other.chain, siteName])
    assert.match(what, /configuration of nginx/)
    assert.equal(await served(), before)
    await writeFile(service.configuration, configuration)
    await call(service.reload)
    await rm(folder, { recursive: true })
    await nothing()
  })

  test('more copies than licence seats, and a copy on a server that left the fleet file', async () => {
    const licensed = (servers: number, also: (document: FleetDocument) => void = () => {}) =>
      fleet.configure((document) => {
        document.certificates.www.licence = { servers }
        also(document)
      })
    await licensed(3)
    await nothing()
    await licensed(2)
    const { repair, expected, disk } = await only('no-seat', 'db-1')
    assert.deepEqual([expected, disk], ['2 servers with a copy', '3 with one'])
    assert.match(repair, /buy seats for www/)
    await licensed(5, (document) => {
      delete document.servers['db-1']
      document.sites[siteName].dns = ['eu-1', 'us-1']
    })
    assert.equal((await only('key-left', 'db-1')).repair, 'onecert server remove db-1')
    await fleet.configure(() => {})
  })

  test('a key on a server that serves other certificates only: by the record, and in a file that somebody copied there', async () => {
    await fleet.configure((document) => {
      document.issuers.own = { 'local-ca': { 'common-name': 'Lab' } }
      document.certificates.db = { names: ['db.lab.example'], issuer: 'own' }
      document.sites = {
        [siteName]: { certificate: 'www', dns: ['eu-1', 'us-1'] },
        'db.lab.example': { certificate: 'db', dns: ['db-1'] },
      }
      document.servers['db-1']['key-folders'] = [join(fleet.directory, 'db-1')]
    })
    const copy = join(fleet.directory, 'db-1', 'www.key')
    await copyFile(key('db-1'), copy)
    const { findings } = await audit()
    assert.deepEqual(
      findings
        .filter(({ certificate }) => certificate === 'www')
        .map(({ reason, server, place }) => [reason, server, place]),
      [
        ['key-left', 'db-1', null],
        ['key-left', 'db-1', copy],
      ],
    )
    await rm(copy)
    await fleet.configure(() => {})
    await nothing()
  })

  test('a server whose clock is months ahead, or behind: by it the certificate has expired, or not begun', async () => {
    const { authorizedKeys } = fleet.server('eu-1').sshd
    const letIn = await readFile(authorizedKeys, 'utf8')
    const byClock = async (offset: string) => {
      const command = `faketime -f ${offset} sh -c "$SSH_ORIGINAL_COMMAND"`
      await writeFile(authorizedKeys, `command="${command.replaceAll('"', '\\"')}" ${letIn}`)
      return (await audit()).findings.map(({ server, reason }) => `${server} ${reason}`)
    }
    assert.deepEqual(await byClock('+100d'), ['eu-1 expired', 'eu-1 clock-wrong'])
    assert.deepEqual(await byClock('-100d'), ['eu-1 clock-wrong', 'eu-1 not-yet-valid'])
    await writeFile(authorizedKeys, letIn)
    await nothing()
  })

  test('a server that cannot be reached any more was last seen by the audit before', async () => {
    await nothing()
    const startedMs = Date.now()
    await fleet.server('db-1').sshd.stop()
    const [finding, ...others] = (await audit()).findings
    assert.deepEqual([finding?.reason, finding?.server, others.length], ['unreachable', 'db-1', 0])
    const sinceMs = Date.parse(finding?.since ?? '')
    assert.ok(sinceMs > startedMs - 60_000 && sinceMs <= startedMs, `${finding?.since}`)
    assert.match(finding?.what ?? '', /; last seen \d+ s ago$/)
    await fleet.server('db-1').service.stop()
    const { exit, findings } = await audit()
    assert.equal(exit, 2)
    assert.deepEqual(
      findings.map(({ since }) => since !== null),
      [true, true],
    )
  })
})
