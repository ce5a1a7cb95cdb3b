import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { appendFile, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { receiverText } from '../../src/reach/receiver.ts'
import { serviceOf } from '../../src/services/drivers.ts'
import { writeCertificate } from './certificate.ts'
import { makeDirectory } from './running.ts'

/** The configuration as Debian installs it, with a site whose certificate is ours. */
const sites = {
  nginx: async (folder: string, current: string) => {
    await writeFile(
      join(folder, 'sites-available', 'ours'),
      `server { listen 127.0.0.1:18443 ssl; ssl_certificate ${current}/fullchain.pem; ssl_certificate_key ${current}/privkey.pem; }\n`,
    )
    await symlink('/etc/nginx/sites-available/ours', join(folder, 'sites-enabled', 'ours'))
  },
  apache: async (folder: string, current: string) => {
    await writeFile(
      join(folder, 'sites-available', 'ours.conf'),
      `<VirtualHost 127.0.0.1:18443>\nSSLEngine on\nSSLCertificateFile ${current}/fullchain.pem\nSSLCertificateKeyFile ${current}/privkey.pem\n</VirtualHost>\n`,
    )
    await symlink('../sites-available/ours.conf', join(folder, 'sites-enabled', 'ours.conf'))
    for (const name of ['ssl.load', 'ssl.conf', 'socache_shmcb.load'])
      await symlink(`../mods-available/${name}`, join(folder, 'mods-enabled', name)).catch(() => {})
  },
  haproxy: (folder: string, current: string) =>
    appendFile(
      join(folder, 'haproxy.cfg'),
      `\nfrontend ours\n  bind 127.0.0.1:18443 ssl crt ${current}/combined.pem\n  http-request return status 404\n`,
    ),
}

const folders = { nginx: '/etc/nginx', apache: '/etc/apache2', haproxy: '/etc/haproxy' }

for (const kind of ['nginx', 'apache', 'haproxy'] as const) {
  for (const way of ['namespace', 'copy'] as const) {
    test(`the driver of ${kind} knows the configuration of Debian: it is tested there (${way})`, async () => {
      const directory = await makeDirectory('sealing')
      await using _ = { [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) }
      const changed = join(directory, 'etc')
      const base = join(directory, 'www')
      await cp(folders[kind], changed, { recursive: true, verbatimSymlinks: true })
      for (const name of ['gen-0001', 'gen-0002']) {
        await mkdir(join(base, name), { recursive: true })
        const { chain, key, combined } = await writeCertificate(directory, ['www.lab.example'])
        await cp(chain, join(base, name, 'fullchain.pem'))
        await cp(key, join(base, name, 'privkey.pem'))
        await cp(combined, join(base, name, 'combined.pem'))
      }
      await symlink('gen-0001', join(base, 'current'))
      await sites[kind](changed, join(base, 'current'))
      const { test: testing, sealing, layout } = serviceOf({ kind })
      assert.ok(sealing?.onCopy)
      const { text } = receiverText({
        directory,
        test: testing,
        reload: [],
        start: [],
        keyFolders: [],
        kind,
        dumps: {},
        includes: {},
        includeNamed: false,
        sealing,
        lineages: [{ lineage: 'www', layout, keyMode: '0600' }],
      })
      await writeFile(join(directory, 'receiver'), text)
      const ask = (verbs: string) => receive(`mount --bind ${changed} ${folders[kind]}`, way, directory, verbs)
      const answers = await ask('begin www r1 1 spki 60 hash hash\ntry gen-0002\ntest\n')
      assert.equal(answers[2], `ok sealed=${way}`, answers.join('\n'))

      // A new generation that the real configuration cannot read is refused, and only that one.
      const file = join(base, 'gen-0002', kind === 'haproxy' ? 'combined.pem' : 'fullchain.pem')
      if (kind === 'apache') await rm(file)
      else await writeFile(file, 'no certificate\n')
      const said = await ask('begin www r2 2 spki 60 hash hash\ntry gen-0002\ntest\n')
      assert.match(
        said.find((line) => line.startsWith('fail')) ?? said.join('\n'),
        new RegExp(`^fail SERVICE_TEST_FAILED .*sealed=${way}$`),
      )
      assert.equal(said.at(-1), 'ok', 'the test of what is current')
    })
  }
}

/** What the receiver answers, in a mount namespace of its own: what is mounted there nobody else sees. */
async function receive(mounts: string, way: 'namespace' | 'copy', directory: string, verbs: string): Promise<string[]> {
  const without = way === 'copy' ? ['/usr/bin/setpriv', '--bounding-set=-sys_admin'] : []
  const mounted = ['-m', '--propagation', 'private', 'sh', '-ec', `${mounts}\nexec "$@"`, 'sh']
  const receiver = spawn('unshare', [...mounted, ...without, 'sh', join(directory, 'receiver')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  receiver.stdin.end(verbs)
  const answers: string[] = []
  for await (const line of createInterface({ input: receiver.stdout })) answers.push(line.trimEnd())
  return answers
}
