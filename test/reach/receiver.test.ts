import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LineageSettings, type ReceiverSettings, receiverText } from '../../src/reach/receiver.ts'
import { idleService } from './settings.ts'
import { busyboxTools, shells, Talk } from './talk.ts'

/** A generation as far as a receiver can tell: bytes and their hashes. */
function makeGeneration(text: string) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const spki = sha256(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }))
  const chain = `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
  return { chain, key, spki, chainHash: sha256(chain), keyHash: sha256(key) }
}
type Made = ReturnType<typeof makeGeneration>

function encryptedKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'of a test' }).toString()
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

interface Place extends AsyncDisposable {
  readonly root: string
  readonly directory: string
  readonly base: string
  readonly settings: ReceiverSettings
  /** Greeted already. `under`: what starts the shell, such as setpriv. */
  talk(settings?: Partial<ReceiverSettings>, under?: readonly string[]): Promise<Talk>
}

async function makePlace(shell: readonly string[], lineage: Partial<LineageSettings> = {}): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'onecert-receiver-'))
  await chmod(root, 0o755)
  const directory = join(root, 'on server')
  const settings: ReceiverSettings = {
    ...idleService,
    directory,
    reload: ['sh', '-c', `echo reload >>'${root}/reloads'`],
    lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600', ...lineage }],
  }
  const environment = { PATH: process.env.PATH ?? '', HOME: root }
  if (shell[0] === 'busybox') environment.PATH = `${await busyboxTools(root)}:${environment.PATH}`
  const talks: Talk[] = []
  return {
    root,
    directory,
    base: join(directory, 'www'),
    settings,
    async talk(changes = {}, under = []) {
      const file = join(root, `receiver-${talks.length}`)
      const { text, id } = receiverText({ ...settings, ...changes })
      await writeFile(file, text)
      const talk = new Talk([...under, ...shell, file], environment)
      talks.push(talk)
      assert.equal(await talk.answer(), `onecert-receiver 1 ${id}`)
      return talk
    },
    async [Symbol.asyncDispose]() {
      for (const talk of talks) await talk.end()
      await rm(root, { recursive: true })
    },
  }
}

/** A service whose test follows its configuration: from the main file to that of a site, from there to the key. */
async function makeConfiguration({ root, base }: Place) {
  const configuration = join(root, 'svc')
  await mkdir(join(configuration, 'sites'), { recursive: true })
  await writeFile(join(configuration, 'main.conf'), `${configuration}/sites/www.conf\n`)
  await writeFile(join(configuration, 'sites', 'www.conf'), `${base}/current/privkey.pem\n`)
  await writeFile(join(configuration, 'other.key'), '-----BEGIN PRIVATE KEY-----\n', { mode: 0o600 })
  const script = join(root, 'test')
  const [seen, slow] = [join(root, 'seen'), join(root, 'slow')]
  await writeFile(
    script,
    `read -r site <"$1"; read -r key <"$site"; hash=$(sha256sum <"$key") || exit 2
echo "\${hash%% *}" >>${seen}
[ ! -e ${slow} ] || { mv ${slow} ${root}/testing; for try in $(seq 500); do [ -e ${root}/testing ] || break; sleep 0.02; done; }
read -r refused <${root}/refused
[ "\${hash%% *}" != "$refused" ] || exit 3
exit 0\n`,
  )
  await writeFile(join(root, 'refused'), 'none\n')
  const test = ['sh', script, join(configuration, 'main.conf')]
  return { configuration, settings: { test, sealing: { onCopy: { configuration, test } } } }
}

function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder))
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name))
    .sort()
}

const begin = (made: Made, { rollout = 'r1', token = 7, seconds = 60 } = {}) =>
  `begin www ${rollout} ${token} ${made.spki} ${seconds} ${made.chainHash} ${made.keyHash}`
const seal = (made: Made, name: string) => `seal ${name} ${made.chainHash} ${made.keyHash} ${made.spki}`

/** Three session ticket keys, as they travel, and the hash of what lies there in three files. */
function makeTickets() {
  const keys = [randomBytes(80), randomBytes(80), randomBytes(80)]
  const lines = keys.map((key) => `${key.toString('base64')}\n`).join('')
  return { keys, lines, hash: sha256(Buffer.concat(keys)) }
}

async function put(talk: Talk, made: Made, name: string): Promise<void> {
  assert.equal(await talk.ask('stage', made.chain), 'ok')
  assert.equal(await talk.ask('key', made.key), 'ok')
  assert.match(await talk.ask(seal(made, name)), /^ok path=|^ok/)
}

async function bring(talk: Talk, made: Made, name: string): Promise<void> {
  await put(talk, made, name)
  assert.match(await talk.ask(`swap ${name} 60`), /^ok previous=/)
  assert.equal(await talk.ask('reload'), 'ok status=0 way=reload')
  assert.match(await talk.ask(`commit ${name} 1`), /^ok purged=/)
}

async function until(condition: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  for (const endMs = Date.now() + withinMs; !(await condition()); await sleep(20))
    assert.ok(Date.now() < endMs, `it did not come to that in ${withinMs} ms`)
}

for (const [name, shell] of Object.entries(shells)) {
  describe(`the receiver under ${name}`, () => {
    test('puts a generation there whole, with the modes that were asked for, and purges what is older than one', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const made = [1, 2, 3].map((text) => makeGeneration(String(text)))
      for (const [at, each] of made.entries()) {
        assert.match(await talk.ask(begin(each, { token: 7 + at })), /^ok clock=\d+ /)
        await bring(talk, each, `gen-000${at + 1}`)
      }
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0003')
      assert.deepEqual((await readdir(place.base)).sort(), ['current', 'fence', 'gen-0002', 'gen-0003', 'journal'])
      const current = join(place.base, 'current')
      assert.equal(await readFile(join(current, 'privkey.pem'), 'utf8'), made[2]?.key)
      assert.equal(await readFile(join(current, 'fullchain.pem'), 'utf8'), made[2]?.chain)
      assert.equal((await lstat(join(current, 'privkey.pem'))).mode & 0o777, 0o600)
      assert.equal((await lstat(join(current, 'fullchain.pem'))).mode & 0o777, 0o644)
    })

    test('the combined layout is one file with chain and key, and its key can be used again', async () => {
      await using place = await makePlace(shell, { layout: 'combined' })
      const talk = await place.talk()
      const made = makeGeneration('1')
      const combined = sha256(made.chain + made.key)
      const beginCombined = (chainHash: string, token: number) =>
        talk.ask(`begin www r1 ${token} ${made.spki} 60 ${chainHash} ${made.keyHash}`)
      await beginCombined(combined, 7)
      await bring(talk, made, 'gen-0001')
      assert.equal(await readFile(join(place.base, 'current', 'combined.pem'), 'utf8'), made.chain + made.key)
      assert.match(await beginCombined(combined, 8), / match=gen-0001 held=gen-0001 /)
      assert.match(await beginCombined(sha256('another chain'), 9), / match=- held=gen-0001 /)
      assert.equal(await talk.ask('stage', 'another chain\n'), 'ok')
      assert.equal(await talk.ask('reuse gen-0001'), 'ok')
      assert.match(
        await talk.ask(`seal gen-0002 ${sha256('another chain\n')} ${made.keyHash} ${made.spki}`),
        /^ok path/,
      )
      assert.equal(await readFile(join(place.base, 'gen-0002', 'combined.pem'), 'utf8'), `another chain\n${made.key}`)
    })

    test('what lies here is told for an audit: hashes, modes and the SPKI of each key, and nothing is changed', async () => {
      await using place = await makePlace(shell, { layout: 'combined' })
      const talk = await place.talk()
      assert.match((await talk.tell('look www')).answer, /^ok clock=\d+ current=- openssl=yes groups=-$/)
      const made = makeGeneration('1')
      await talk.ask(`begin www r1 7 ${made.spki} 60 ${sha256(made.chain + made.key)} ${made.keyHash}`)
      await bring(talk, made, 'gen-0001')
      const before = await readdir(place.base)
      const { output, answer } = await talk.tell('look www')
      assert.match(answer, /^ok clock=\d+ current=gen-0001 openssl=yes groups=-$/)
      const owner = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()
      const group = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim()
      assert.deepEqual(output, [`gen-0001 combined.pem 600 ${owner}:${group} ${made.chainHash} ${made.spki} -`])
      assert.deepEqual(await readdir(place.base), before)
      assert.equal(await talk.ask('look shop'), 'fail RECEIVER_OUTDATED lineage=shop')
    })

    test('who may read a key is told: its ACL, the folders on the way that not everybody may pass, the groups of an account', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const made = makeGeneration('1')
      await talk.ask(begin(made))
      await bring(talk, made, 'gen-0001')
      const key = join(place.base, 'gen-0001', 'privkey.pem')
      const about = async (account = '') => {
        const { output, answer } = await talk.tell(`look www ${account}`.trim())
        const fields = output.find((line) => line.includes(' privkey.pem '))?.split(' ') ?? []
        return { mode: fields[2], acl: fields[6], above: output.filter((line) => line.startsWith('above ')), answer }
      }
      const before = await about()
      assert.deepEqual([before.mode, before.acl, before.above], ['600', '-', []])

      execFileSync('setfacl', ['-m', 'u:daemon:r,g:users:r', key])
      const opened = await about()
      assert.deepEqual(
        [opened.mode, opened.acl],
        ['640', 'user::rw-,user:daemon:r--,group::---,group:users:r--,mask::r--,other::---'],
      )

      // A getfacl that fails stands for none: the ls of busybox does not show that there is an ACL.
      const broken = join(place.root, 'busybox', 'getfacl')
      await mkdir(dirname(broken), { recursive: true })
      await writeFile(broken, '#!/bin/sh\nexit 1\n', { mode: 0o755 })
      const without = await place.talk({}, ['env', `PATH=${dirname(broken)}:${process.env.PATH}`])
      const { output } = await without.tell('look www')
      const shown = output.find((line) => line.includes(' privkey.pem '))?.split(' ')[6]
      assert.equal(shown, shell[0] === 'busybox' ? '-' : '+')
      await rm(broken)

      const owner = `${execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()}:${execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim()}`
      await chmod(place.base, 0o750)
      assert.deepEqual((await about()).above, [`above 750 ${owner} - ${place.base}`])
      execFileSync('setfacl', ['-m', 'u:daemon:x', place.base])
      assert.deepEqual((await about()).above, [
        `above 750 ${owner} user::rwx,user:daemon:--x,group::r-x,mask::r-x,other::--- ${place.base}`,
      ])

      execFileSync('setfacl', ['-b', place.base])
      await chmod(place.base, 0o711)
      assert.deepEqual((await about()).above, [], 'everybody may pass, though not look')
      await chmod(place.base, 0o754)
      assert.deepEqual((await about()).above, [`above 754 ${owner} - ${place.base}`])
      await chmod(place.base, 0o755)
      const elsewhere = join(place.root, 'elsewhere')
      await mkdir(elsewhere, { mode: 0o700 })
      await rename(place.base, join(elsewhere, 'www'))
      await symlink(join(elsewhere, 'www'), place.base)
      assert.deepEqual((await about()).above, [`above 700 ${owner} - ${elsewhere}`], 'where its links lead')

      assert.match((await about('daemon')).answer, / groups=daemon$/)
      assert.match((await about('no-such-account')).answer, / groups=-$/)
    })

    test('a directory behind a link is taken, if where it leads is safe', async () => {
      await using place = await makePlace(shell)
      const [link, behind] = [join(place.root, 'link'), join(place.root, 'behind')]
      await mkdir(behind, { mode: 0o755 })
      await symlink(behind, link)
      const made = makeGeneration('1')
      const talk = await place.talk({ directory: join(link, 'onecert') })
      assert.match(await talk.ask(begin(made)), /^ok /)
      await chmod(behind, 0o777)
      const open = await place.talk({ directory: join(link, 'onecert') })
      const { output, answer } = await open.tell(begin(made, { token: 8 }))
      assert.deepEqual(
        [output, answer],
        [[`${behind} can be written by everybody (mode 777)`], 'fail SERVER_PATH_UNSAFE'],
      )
    })

    test('a path that a configuration names is told with where its links lead', async () => {
      await using place = await makePlace(shell)
      const [plain, linked] = [join(place.root, 'plain.crt'), join(place.root, 'linked.crt')]
      await writeFile(plain, '', { mode: 0o644 })
      await symlink('plain.crt', linked)
      const dump = ['printf', '%s\\n', `ssl_certificate ${plain};`, `ssl_certificate ${linked};`]
      const talk = await place.talk({ dumps: { nginx: dump } })
      const { output, answer } = await talk.tell('discover nginx')
      assert.equal(answer, 'ok found=yes cut=no')
      assert.deepEqual(
        output.filter((line) => line.startsWith('# real ')),
        [`# real ${linked} ${plain}`],
      )
    })

    test('explicit paths are told with what they are', async () => {
      const root = await mkdtemp(join(tmpdir(), 'onecert-paths-'))
      const [chainPath, keyPath] = [join(root, 'www.crt'), join(root, 'www.key')]
      await using place = await makePlace(shell, { chainPath, keyPath })
      try {
        const talk = await place.talk()
        const made = makeGeneration('1')
        await talk.ask(begin(made))
        await bring(talk, made, 'gen-0001')
        const kinds = async () =>
          (await talk.tell('look www')).output
            .filter((line) => line.startsWith('path='))
            .map((line) => line.split(' ')[0])
        assert.deepEqual(await kinds(), ['path=ours', 'path=ours'])
        await rm(chainPath)
        await rm(keyPath)
        await writeFile(keyPath, makeGeneration('2').key)
        assert.deepEqual(await kinds(), ['path=missing', 'path=file'])
        await rm(keyPath)
        await symlink('/etc/hostname', keyPath)
        assert.deepEqual(await kinds(), ['path=missing', 'path=link'])
      } finally {
        await rm(root, { recursive: true })
      }
    })

    test('private keys are found wherever they lie, each once, with their SPKI; links are not followed twice', async () => {
      await using place = await makePlace(shell)
      const folder = join(place.root, 'etc')
      await mkdir(join(folder, 'deep', 'er'), { recursive: true })
      const [plain, combined] = [makeGeneration('1'), makeGeneration('2')]
      await writeFile(join(folder, 'a key.pem'), plain.key, { mode: 0o640 })
      await writeFile(join(folder, 'deep', 'er', 'both.pem'), combined.chain + combined.key, { mode: 0o604 })
      await writeFile(join(folder, 'locked.pem'), encryptedKey(), { mode: 0o600 })
      await writeFile(join(folder, 'certificate.pem'), plain.chain)
      await writeFile(join(folder, 'notes'), 'a -----BEGIN PRIVATE KEY----- in a sentence\n')
      await symlink(join(folder, 'a key.pem'), join(folder, 'link.pem'))
      const keyFolders = [folder, join(folder, 'deep'), join(place.root, 'absent')]
      const talk = await place.talk({ keyFolders })
      const { output, answer } = await talk.tell('keys')
      assert.equal(answer, 'ok whole=yes openssl=yes')
      const found = output.map((line) => {
        const [mode, , spki, ...path] = line.split(' ')
        return [path.join(' '), mode, spki]
      })
      assert.deepEqual(found.toSorted(), [
        [join(folder, 'a key.pem'), '640', plain.spki],
        [join(folder, 'deep', 'er', 'both.pem'), '604', combined.spki],
        [join(folder, 'locked.pem'), '600', '-'],
      ])
    })

    test('bytes that were damaged on the way never become a generation', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const made = makeGeneration('1')
      const other = makeGeneration('2')
      await talk.ask(begin(made))
      for (const [chain, key] of [
        [other.chain, made.key],
        [made.chain, other.key],
        [`${made.chain.slice(0, 30)}\n`, made.key],
        [made.chain, `${made.key.slice(0, 60)}\n`],
      ] as const) {
        assert.equal(await talk.ask('stage', chain), 'ok')
        assert.equal(await talk.ask('key', key), 'ok')
        assert.match(await talk.ask(seal(made, 'gen-0001')), /^fail STAGE_DAMAGED/)
        assert.ok(!existsSync(join(place.base, 'gen-0001')))
        assert.ok(!existsSync(join(place.base, '.stage')), 'what was refused does not lie around')
      }
      await bring(talk, made, 'gen-0001')
    })

    test('ticket keys come whole, are swapped with one rename, and what is rotated out is overwritten and gone', async () => {
      await using place = await makePlace(shell, { ticketKeys: 'files' })
      const talk = await place.talk()
      const made = makeGeneration('1')
      assert.match(await talk.ask(begin(made)), / set=- tickets=- zeroed=$/)
      const first = makeTickets()
      await put(talk, made, 'gen-0001')
      assert.equal(await talk.ask(`tickets tickets-1 ${first.hash}`, first.lines), 'ok')
      assert.equal(await talk.ask('swap gen-0001 60 tickets-1'), 'ok previous=-')
      assert.equal(await talk.ask('commit gen-0001 1'), 'ok purged= zeroed=')
      assert.equal(await readlink(join(place.base, 'tickets')), 'tickets-1')
      for (const [at, name] of ['previous', 'current', 'next'].entries()) {
        const file = join(place.base, 'tickets', `${name}.key`)
        assert.deepEqual(await readFile(file), first.keys[at])
        assert.equal((await lstat(file)).mode & 0o777, 0o600)
      }
      assert.deepEqual((await readdir(join(place.base, 'tickets'))).sort(), ['current.key', 'next.key', 'previous.key'])
      assert.match(
        await talk.ask(begin(made, { token: 8 })),
        new RegExp(` set=tickets-1 tickets=${first.hash} zeroed=$`),
      )
      const inode = join(place.root, 'inode')
      await link(join(place.base, 'tickets-1', 'current.key'), inode)
      const second = makeTickets()
      assert.equal(await talk.ask(`tickets tickets-2 ${second.hash}`, second.lines), 'ok')
      assert.deepEqual(await readFile(join(place.base, 'tickets', 'next.key')), first.keys[2], 'not before the swap')
      assert.equal(await talk.ask('swap gen-0001 60 tickets-2'), 'ok previous=gen-0001')
      assert.deepEqual(await readFile(join(place.base, 'tickets', 'next.key')), second.keys[2])
      assert.equal(await talk.ask('commit gen-0001 1'), 'ok purged= zeroed=tickets-1')
      assert.ok(!existsSync(join(place.base, 'tickets-1')))
      assert.match(await readFile(inode, 'latin1'), /^0+$/, 'what the disk still has is no key')
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0001')
    })

    test('ticket keys in one file of lines, with the owner and mode of the key files', async () => {
      await using place = await makePlace(shell, { layout: 'combined', ticketKeys: 'lines', keyMode: '0640' })
      const talk = await place.talk()
      const made = makeGeneration('1')
      await talk.ask(`begin www r1 7 ${made.spki} 60 ${sha256(made.chain + made.key)} ${made.keyHash}`)
      await put(talk, made, 'gen-0001')
      const { lines } = makeTickets()
      assert.equal(await talk.ask(`tickets tickets-1 ${sha256(lines)}`, lines), 'ok')
      assert.equal(await talk.ask('swap gen-0001 60 tickets-1'), 'ok previous=-')
      const file = join(place.base, 'tickets', 'tickets.keys')
      assert.equal(await readFile(file, 'utf8'), lines)
      assert.equal((await lstat(file)).mode & 0o777, 0o640)
    })

    test('ticket keys that were damaged on the way, or that the service cannot take, leave nothing behind', async () => {
      await using place = await makePlace(shell, { ticketKeys: 'files' })
      const talk = await place.talk()
      const { lines, hash } = makeTickets()
      await talk.ask(begin(makeGeneration('1')))
      for (const damaged of [makeTickets().lines, lines.slice(0, 200), '', `${lines}${lines}`.slice(50)]) {
        const payload = damaged === '' || damaged.endsWith('\n') ? damaged : `${damaged}\n`
        assert.match(await talk.ask(`tickets tickets-1 ${hash}`, payload), /^fail STAGE_DAMAGED/)
        assert.deepEqual(
          (await readdir(place.base)).filter((each) => /set|tickets/.test(each)),
          [],
        )
      }
      assert.match(await talk.ask('swap gen-0001 60 tickets-1'), /^fail SWAP_FAILED/)
      const unable = await place.talk({ lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600' }] })
      await unable.ask(begin(makeGeneration('1'), { token: 8 }))
      assert.match(await unable.ask(`tickets tickets-1 ${hash}`, lines), /^fail RECEIVER_OUTDATED/)
      unable.child.stdin.write(`swap gen-0009 60\n+ tickets tickets-1 ${hash}\n${lines}.\nbegin\n`)
      assert.match(await unable.answer(), /^fail SWAP_FAILED/)
      assert.match(await unable.answer(), /why=left-out/)
      assert.match(await unable.answer(), /^fail RECEIVER_OUTDATED/, 'no line of its payload is taken for a verb')
    })

    for (const [how, end] of [
      [
        'a rollback',
        async (talk: Talk) => assert.match(await talk.ask('rollback'), /^ok current=.* zeroed=tickets-2$/),
      ],
      ['the end of the connection', async (talk: Talk) => talk.end()],
      ['the watchdog, where the receiver was killed', async (talk: Talk) => void talk.child.kill('SIGKILL')],
    ] as const) {
      test(`${how} brings the ticket keys before back, and the next session takes the others away`, async () => {
        await using place = await makePlace(shell, { ticketKeys: 'files' })
        const made = makeGeneration('1')
        const [first, second] = [makeTickets(), makeTickets()]
        const talk = await place.talk()
        await talk.ask(begin(made, { seconds: 2 }))
        await put(talk, made, 'gen-0001')
        await talk.ask(`tickets tickets-1 ${first.hash}`, first.lines)
        await talk.ask('swap gen-0001 60 tickets-1')
        await talk.ask('commit gen-0001 1')
        await talk.ask(`tickets tickets-2 ${second.hash}`, second.lines)
        assert.match(await talk.ask('swap gen-0001 2 tickets-2'), /^ok/)
        assert.equal(await readlink(join(place.base, 'tickets')), 'tickets-2')
        await end(talk)
        await until(async () => (await readlink(join(place.base, 'tickets'))) === 'tickets-1')
        await until(async () => !(await readdir(place.base)).some((each) => /^(fired|watchdog|taken)/.test(each)))
        const next = await place.talk()
        const zeroed = how === 'a rollback' ? '' : 'tickets-2'
        const answer = new RegExp(` current=gen-0001 .* set=tickets-1 tickets=${first.hash} zeroed=${zeroed}$`)
        assert.match(await next.ask(begin(made, { token: 8 })), answer)
        assert.ok(!existsSync(join(place.base, 'tickets-2')))
      })
    }

    test('a later session that goes on with an unconfirmed swap can still go back to the ticket keys before it', async () => {
      await using place = await makePlace(shell, { ticketKeys: 'files' })
      const [old, made] = [makeGeneration('1'), makeGeneration('2')]
      const [first, second] = [makeTickets(), makeTickets()]
      const talk = await place.talk()
      await talk.ask(begin(old))
      await put(talk, old, 'gen-0001')
      await talk.ask(`tickets tickets-1 ${first.hash}`, first.lines)
      await talk.ask('swap gen-0001 60 tickets-1')
      await talk.ask('commit gen-0001 1')
      await talk.ask(begin(made, { token: 8 }))
      await put(talk, made, 'gen-0002')
      await talk.ask(`tickets tickets-2 ${second.hash}`, second.lines)
      await talk.ask('swap gen-0002 60 tickets-2')
      talk.child.kill('SIGKILL')
      const next = await place.talk()
      assert.match(
        await next.ask(begin(made, { token: 9 })),
        new RegExp(` unconfirmed=gen-0002 before=gen-0001 .* set=tickets-2 tickets=${second.hash} zeroed=$`),
      )
      assert.match(await next.ask('swap gen-0002 60'), /^ok previous=gen-0001/)
      assert.match(await next.ask('rollback'), /^ok current=gen-0001 fired=no zeroed=tickets-2$/)
      assert.equal(await readlink(join(place.base, 'tickets')), 'tickets-1')
      assert.deepEqual(await readFile(join(place.base, 'tickets', 'current.key')), first.keys[1])
    })

    test('ticket keys are dropped where the service can do without them, and stay where it names them still', async () => {
      await using place = await makePlace(shell, { ticketKeys: 'files' })
      const made = makeGeneration('1')
      const { lines, hash } = makeTickets()
      const named = { test: ['sh', '-c', `test -e '${place.base}/tickets/current.key'`] }
      const talk = await place.talk(named)
      await talk.ask(begin(made))
      await put(talk, made, 'gen-0001')
      await talk.ask(`tickets tickets-1 ${hash}`, lines)
      await talk.ask('swap gen-0001 60 tickets-1')
      await talk.ask('commit gen-0001 1')
      assert.match(await talk.ask('drop'), /^fail SERVICE_TEST_FAILED/)
      assert.match(await talk.ask('release www 7'), /^ok released=0 tickets=kept$/)
      assert.deepEqual((await readdir(join(place.base, 'tickets'))).length, 3)
      // As a kill in the middle of the test would leave it.
      await rename(join(place.base, 'tickets'), join(place.base, '.dropped'))
      const other = await place.talk()
      assert.match(await other.ask(begin(made, { token: 8 })), new RegExp(` set=tickets-1 tickets=${hash} zeroed=$`))
      assert.equal(await other.ask('drop'), 'ok zeroed=tickets-1')
      assert.deepEqual(
        (await readdir(place.base)).filter((each) => /tickets|dropped/.test(each)),
        [],
      )
      assert.match(await other.ask('release www 8'), /^ok released=0 zeroed= tickets=-$/)

      await other.ask(`tickets tickets-1 ${hash}`, lines)
      await other.ask('swap gen-0001 60 tickets-1')
      await other.ask('commit gen-0001 1')
      const inode = join(place.root, 'inode')
      await link(join(place.base, 'tickets', 'current.key'), inode)
      assert.match(await other.ask(`purge www 9 ${made.spki}`), /^ok/)
      assert.match(await readFile(inode, 'latin1'), /^0+$/, 'a purge overwrites them too')
      assert.deepEqual((await readdir(place.base)).sort(), ['fence', 'journal'])
    })

    test('the answer to a challenge lies below the webroot, readable by all, and goes again with its folders', async () => {
      await using place = await makePlace(shell)
      const webroot = join(place.root, 'web root')
      await mkdir(webroot)
      const talk = await place.talk({ lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600', webroot }] })
      const answer = join(webroot, '.well-known', 'acme-challenge', 'tok-en_1')
      for (let twice = 0; twice < 2; twice++)
        assert.match(await talk.ask('answer www tok-en_1 tok-en_1.thumb_print'), /^ok path=/)
      assert.equal(await readFile(answer, 'utf8'), 'tok-en_1.thumb_print')
      assert.equal((await lstat(answer)).mode & 0o777, 0o644)
      assert.equal((await lstat(join(webroot, '.well-known'))).mode & 0o777, 0o755)
      for (const hostile of ['../../x', '..', '.', '/etc/x', '-rf'])
        assert.match(await talk.ask(`answer www ${hostile} text`), hostile === '-rf' ? /^ok/ : /^fail/, hostile)
      await talk.ask('unanswer www -rf')
      for (let twice = 0; twice < 2; twice++) assert.equal(await talk.ask('unanswer www tok-en_1'), 'ok')
      assert.deepEqual(await readdir(webroot), [])
      assert.match(await talk.ask('answer api tok text'), /^fail RECEIVER_OUTDATED/)
      assert.match(await (await place.talk()).ask('answer www tok text'), /^fail RECEIVER_OUTDATED/, 'no webroot')
    })

    test('verbs that are sent at once are answered one by one; behind one that fails the others are left out', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk({ test: ['false'] })
      const [made, other] = [makeGeneration('1'), makeGeneration('2')]
      await talk.ask(begin(made))
      const answers = async (text: string, count: number) => {
        talk.child.stdin.write(text)
        const heard: string[] = []
        while (heard.length < count) heard.push((await talk.answer()).replace(/^(ok|fail \S+).*/, '$1'))
        return heard
      }
      const leftOut = 'fail RECEIVER_PROTOCOL'
      const sending = (key: string) => `stage\n${made.chain}.\n+ key\n${key}.\n+ ${seal(made, 'gen-0001')}\n`
      assert.deepEqual(await answers(`${sending(other.key)}+ swap gen-0001 60\n`, 4), [
        'ok',
        'ok',
        'fail STAGE_DAMAGED',
        leftOut,
      ])
      assert.deepEqual(await answers(`swap gen-0009 60\n+ key\n${made.key}.\n+ reload\n`, 3), [
        'fail SWAP_FAILED',
        leftOut,
        leftOut,
      ])
      assert.ok(!existsSync(join(place.base, '.stage')) && !existsSync(join(place.root, 'reloads')))
      assert.deepEqual(await answers(sending(made.key), 3), ['ok', 'ok', 'ok'])
      assert.deepEqual(await answers('swap gen-0001 60\n+ test\n+ reload\n', 3), [
        'ok',
        'fail SERVICE_TEST_FAILED',
        leftOut,
      ])
      assert.ok(!existsSync(join(place.root, 'reloads')))
      assert.match(await talk.ask('reload'), /^ok/, 'what comes by itself is done')
    })

    test('a key that was sent and never sealed goes with the connection, also where it was cut', async () => {
      await using place = await makePlace(shell)
      const made = makeGeneration('1')
      for (const signal of [null, 'SIGKILL'] as const) {
        const talk = await place.talk()
        await talk.ask(begin(made))
        await talk.ask('stage', made.chain)
        await talk.ask('key', made.key)
        assert.ok(existsSync(join(place.base, '.stage', 'privkey.pem')))
        if (signal) talk.child.kill(signal)
        await talk.end()
        if (signal) await (await place.talk()).ask(begin(made))
        assert.ok(!existsSync(join(place.base, '.stage')))
      }
    })

    test('a late writer with an older fencing token is refused, at begin and at each verb behind it', async () => {
      await using place = await makePlace(shell)
      const made = makeGeneration('1')
      const late = await place.talk()
      await late.ask(begin(made, { rollout: 'old', token: 7 }))
      await put(late, made, 'gen-0001')
      const newer = await place.talk()
      assert.match(await newer.ask(begin(makeGeneration('2'), { rollout: 'new', token: 8 })), /^ok /)
      for (const verb of ['swap gen-0001 60', 'reload', 'commit gen-0001 1', 'rollback', 'test', 'reuse gen-0001'])
        assert.match(await late.ask(verb), /^fail SERVER_FENCED fence=8 token=7$/, verb)
      assert.match(await late.ask('stage', made.chain), /^fail SERVER_FENCED/)
      assert.match(await late.ask(begin(made, { rollout: 'old', token: 7 })), /^fail SERVER_FENCED/)
      assert.ok(!existsSync(join(place.base, 'current')))
    })

    test('a server never goes to a lower generation by a swap', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const [older, newer] = [makeGeneration('8'), makeGeneration('10')]
      await talk.ask(begin(older))
      await put(talk, older, 'gen-0008')
      await bring(talk, newer, 'gen-0010')
      assert.match(await talk.ask('swap gen-0008 60'), /^fail SERVER_NEWER current=gen-0010$/)
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0010')
    })

    test('the connection ends behind a swap: it is undone at once', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const [first, second] = [makeGeneration('1'), makeGeneration('2')]
      await talk.ask(begin(first))
      await bring(talk, first, 'gen-0001')
      await put(talk, second, 'gen-0002')
      assert.match(await talk.ask('swap gen-0002 60'), /^ok previous=gen-0001$/)
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0002')
      await rm(join(place.root, 'reloads'))
      await talk.end()
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0001')
      assert.equal(await readFile(join(place.root, 'reloads'), 'utf8'), 'reload\n')
      assert.deepEqual(
        (await readdir(place.base)).filter((left) => /watchdog|fired|taken/.test(left)),
        [],
      )
    })

    test('the connection ends while the watchdog undoes a swap: that is brought to its end', async () => {
      await using place = await makePlace(shell)
      const slow = { reload: ['sh', '-c', `sleep 1.5; echo reload >>'${place.root}/reloads'`] }
      const talk = await place.talk(slow)
      const [first, second] = [makeGeneration('1'), makeGeneration('2')]
      await talk.ask(begin(first))
      await bring(talk, first, 'gen-0001')
      await put(talk, second, 'gen-0002')
      await talk.ask('swap gen-0002 1')
      await until(async () => (await readlink(join(place.base, 'current'))) === 'gen-0001')
      await talk.end()
      await until(async () => !(await readdir(place.base)).some((left) => /watchdog|fired|taken/.test(left)), 5_000)
      assert.equal(await readFile(join(place.root, 'reloads'), 'utf8'), 'reload\nreload\n')
    })

    test('the receiver itself is killed -9 behind a swap: the watchdog undoes it in time', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk()
      const [first, second] = [makeGeneration('1'), makeGeneration('2')]
      await talk.ask(begin(first))
      await bring(talk, first, 'gen-0001')
      await put(talk, second, 'gen-0002')
      await talk.ask('swap gen-0002 2')
      talk.child.kill('SIGKILL')
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0002')
      await until(async () => (await readlink(join(place.base, 'current'))) === 'gen-0001', 6_000)
      await until(async () => !(await readdir(place.base)).some((left) => /watchdog|fired|taken/.test(left)))
    })

    test('a first rollout that is undone leaves no link that leads nowhere', async () => {
      await using place = await makePlace(shell)
      const explicit = { chainPath: join(place.root, 'cert.pem'), keyPath: join(place.root, 'key.pem') }
      const talk = await place.talk({ lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600', ...explicit }] })
      const made = makeGeneration('1')
      await talk.ask(begin(made))
      await put(talk, made, 'gen-0001')
      assert.match(await talk.ask('swap gen-0001 60'), /^ok previous=-$/)
      assert.equal(await readFile(explicit.keyPath, 'utf8'), made.key)
      assert.match(await talk.ask('rollback'), /^ok current=-/)
      for (const path of Object.values(explicit)) await assert.rejects(lstat(path), { code: 'ENOENT' })
    })

    test('an unconfirmed swap that a later session finds is under its guard, and can be finished by it', async () => {
      await using place = await makePlace(shell)
      const first = await place.talk()
      const made = makeGeneration('1')
      await first.ask(begin(made))
      await put(first, made, 'gen-0001')
      await first.ask('swap gen-0001 60')
      first.child.kill('SIGKILL')
      const second = await place.talk()
      const found = await second.ask(begin(made, { rollout: 'r2', token: 8 }))
      assert.match(found, / match=gen-0001 .* unconfirmed=gen-0001 /)
      assert.match(await second.ask('swap gen-0001 60'), /^ok previous=-$/)
      assert.match(await second.ask('commit gen-0001 1'), /^ok/)
      await second.end()
      assert.equal(await readlink(join(place.base, 'current')), 'gen-0001')
    })

    for (const [way, under] of [
      ['namespace', []],
      ['copy', ['/usr/bin/setpriv', '--bounding-set=-sys_admin']],
    ] as const) {
      test(`a generation is tried in the real configuration before the swap, in a ${way}: nothing else sees it`, async () => {
        await using place = await makePlace(shell)
        const { configuration, settings } = await makeConfiguration(place)
        const talk = await place.talk(settings, under)
        const [first, second, third] = [makeGeneration('1'), makeGeneration('2'), makeGeneration('3')]
        await talk.ask(begin(first))
        await put(talk, first, 'gen-0001')
        assert.equal(await talk.ask('try gen-0001'), 'ok sealed=none', 'the configuration names nothing of ours yet')
        await talk.ask('swap gen-0001 60')
        assert.equal(await talk.ask('test gen-0001'), 'ok')
        await talk.ask('commit gen-0001 1')
        await talk.ask(begin(second))
        await put(talk, second, 'gen-0002')

        await writeFile(join(place.root, 'slow'), '')
        const answer = talk.ask('try gen-0002')
        await until(() => existsSync(join(place.root, 'testing')))
        assert.equal(await readFile(join(place.base, 'current', 'privkey.pem'), 'utf8'), first.key)
        assert.equal(await readFile(join(place.base, 'gen-0001', 'privkey.pem'), 'utf8'), first.key)
        assert.deepEqual(mountsBelow(place.root), [])
        const copied = filesBelow(join(place.base, '.sealed'))
        if (way === 'copy') {
          assert.deepEqual(
            copied.map((file) => file.slice(place.base.length)),
            ['/.sealed/svc/main.conf', '/.sealed/svc/sites/www.conf'],
            'all else is links: no key is copied',
          )
          assert.equal((await lstat(join(place.base, '.sealed'))).mode & 0o777, 0o700)
        } else assert.deepEqual(copied, [])
        await rm(join(place.root, 'testing'))
        assert.equal(await answer, `ok sealed=${way}`)

        const seen = async () => (await readFile(join(place.root, 'seen'), 'utf8')).trim().split('\n')
        assert.deepEqual(await seen(), [first.keyHash, second.keyHash])
        assert.match(await talk.ask('swap gen-0002 60'), /^ok previous=gen-0001/)
        assert.equal(await talk.ask('test gen-0002'), 'ok')
        assert.equal((await seen()).length, 2, 'it was tested once')
        assert.match(await talk.ask('commit gen-0002 1'), /^ok/)
        assert.ok(!existsSync(join(place.base, '.sealed')))
        assert.deepEqual(mountsBelow(place.root), [])

        // What it refuses is never swapped in; the test without a name is of the files that are current.
        await writeFile(join(place.root, 'refused'), third.keyHash)
        await talk.ask(begin(third))
        await put(talk, third, 'gen-0003')
        talk.child.stdin.write('try gen-0003\n+ swap gen-0003 60\n+ test gen-0003\n')
        assert.equal(await talk.answer(), `fail SERVICE_TEST_FAILED status=3 sealed=${way}`)
        for (let left = 0; left < 2; left++) assert.match(await talk.answer(), /^fail RECEIVER_PROTOCOL why=left-out/)
        assert.equal(await readlink(join(place.base, 'current')), 'gen-0002')
        assert.equal(await talk.ask('test'), 'ok')
        assert.equal((await seen()).at(-1), second.keyHash)
        assert.ok(!existsSync(join(place.base, '.sealed')))

        // A configuration that names none of these files cannot be tried on a copy; a namespace has no need to know.
        await writeFile(join(configuration, 'sites', 'www.conf'), `${place.root}/elsewhere\n`)
        await writeFile(join(place.root, 'elsewhere'), 'x')
        assert.equal(await talk.ask('try gen-0003'), way === 'copy' ? 'ok sealed=none' : 'ok sealed=namespace')
        assert.equal(await readlink(join(place.base, 'current')), 'gen-0002')
      })

      test(`killed -9 while it tries a generation in a ${way}, it leaves no mount, and nothing at all after the next begin`, async () => {
        await using place = await makePlace(shell)
        const { settings } = await makeConfiguration(place)
        const talk = await place.talk(settings, under)
        const [first, second] = [makeGeneration('1'), makeGeneration('2')]
        await talk.ask(begin(first))
        await bring(talk, first, 'gen-0001')
        await talk.ask(begin(second))
        await put(talk, second, 'gen-0002')
        await writeFile(join(place.root, 'slow'), '')
        talk.child.stdin.write('try gen-0002\n')
        await until(() => existsSync(join(place.root, 'testing')))
        talk.child.kill('SIGKILL')
        assert.deepEqual(mountsBelow(place.root), [])
        assert.equal(existsSync(join(place.base, '.sealed')), way === 'copy')
        const next = await place.talk(settings, under)
        assert.match(await next.ask(begin(second, { rollout: 'r2', token: 8 })), / current=gen-0001 match=gen-0002 /)
        assert.ok(!existsSync(join(place.base, '.sealed')))
        assert.equal(await readFile(join(place.base, 'current', 'privkey.pem'), 'utf8'), first.key)
        await rm(join(place.root, 'testing'))
      })
    }

    test('a copy that the service does not take with the old files either says nothing: the test comes behind the swap', async () => {
      await using place = await makePlace(shell)
      const { settings } = await makeConfiguration(place)
      const talk = await place.talk(
        { ...settings, sealing: { onCopy: { configuration: join(place.root, 'svc'), test: ['false'] } } },
        ['/usr/bin/setpriv', '--bounding-set=-sys_admin'],
      )
      const [first, second] = [makeGeneration('1'), makeGeneration('2')]
      await talk.ask(begin(first))
      await bring(talk, first, 'gen-0001')
      await talk.ask(begin(second))
      await put(talk, second, 'gen-0002')
      assert.equal(await talk.ask('try gen-0002'), 'ok sealed=none')
      assert.ok(!existsSync(join(place.base, '.sealed')))
      await talk.ask('swap gen-0002 60')
      assert.equal(await talk.ask('test gen-0002'), 'ok')
      assert.equal((await readFile(join(place.root, 'seen'), 'utf8')).trim(), second.keyHash)
    })

    test('a purge leaves no file with the key, not even one that was given back, and refuses late writers from then on', async () => {
      const root = await mkdtemp(join(tmpdir(), 'onecert-paths-'))
      const [chainPath, keyPath] = [join(root, 'www.crt'), join(root, 'www.key')]
      await using place = await makePlace(shell, { chainPath, keyPath })
      const [first, second] = [makeGeneration('1'), makeGeneration('2')]
      const talk = await place.talk()
      assert.match(await talk.ask(begin(first)), /^ok/)
      await bring(talk, first, 'gen-0001')
      await talk.end()
      const later = await place.talk()
      assert.match(await later.ask(begin(second, { token: 8 })), /^ok/)
      await bring(later, second, 'gen-0002')
      assert.equal(await later.ask('release www 7'), 'fail SERVER_FENCED fence=8 token=7')
      assert.equal(await readlink(keyPath), join(place.base, 'current', 'privkey.pem'))
      assert.equal(await later.ask('release www 8'), 'ok released=2 zeroed= tickets=-')
      const spkis = `${first.spki} ${second.spki}`
      assert.match(await later.ask(`purge www 6 ${spkis}`), /^fail SERVER_FENCED/)
      assert.equal((await readdir(place.base)).length > 2, true)
      // A copy that somebody made is told, and is not ours to delete.
      const copy = join(root, 'www.key.old')
      await writeFile(copy, second.key)
      assert.equal(await later.ask(`purge www 9 ${spkis}`), 'fail PURGE_LEFT left=1')
      assert.deepEqual((await readdir(place.base)).sort(), ['fence', 'journal'])
      assert.equal(existsSync(keyPath), false)
      assert.equal(existsSync(copy), true)
      await rm(copy)
      assert.match(await later.ask(`purge www 9 ${spkis}`), /^ok left=0 proof=keys seen=\d+$/)
      const late = await place.talk()
      assert.match(await late.ask(begin(second, { token: 8 })), /^fail SERVER_FENCED fence=9 token=8/)
      await rm(root, { recursive: true })
    })

    test('links at the explicit paths go with a purge; the key of another lineage stays', async () => {
      const root = await mkdtemp(join(tmpdir(), 'onecert-paths-'))
      const [chainPath, keyPath] = [join(root, 'www.crt'), join(root, 'www.key')]
      await using place = await makePlace(shell, { chainPath, keyPath })
      const [ours, other] = [makeGeneration('1'), makeGeneration('2')]
      const talk = await place.talk()
      assert.match(await talk.ask(begin(ours)), /^ok/)
      await bring(talk, ours, 'gen-0001')
      const beside = join(place.directory, 'api', 'gen-0001')
      await mkdir(beside, { recursive: true })
      await writeFile(join(beside, 'privkey.pem'), other.key)
      assert.match(await talk.ask(`purge www 9 ${ours.spki}`), /^ok left=0 proof=keys/)
      assert.deepEqual(await readdir(root), [])
      assert.equal(await readFile(join(beside, 'privkey.pem'), 'utf8'), other.key)
      assert.match(await talk.ask(`purge www 9 ${ours.spki} ${other.spki}`), /^fail PURGE_LEFT left=1/)
      await rm(root, { recursive: true })
    })

    test('a path that others can write to, or that is theirs, is refused with nothing written', async () => {
      await using place = await makePlace(shell)
      const made = makeGeneration('1')
      const open = join(place.root, 'open')
      const theirs = join(place.root, 'theirs')
      const group = join(place.root, 'group')
      for (const each of [open, theirs, group]) await mkdir(each)
      await chmod(open, 0o777)
      await chown(theirs, 4711, 4711)
      await chown(group, 0, 4711)
      await chmod(group, 0o775)
      await symlink(open, join(place.root, 'link'))
      const strangers = join(theirs, 'link')
      await symlink(place.root, strangers)
      for (const directory of [
        open,
        theirs,
        group,
        join(place.root, 'link'),
        join(strangers, 'x'),
        join(open, 'deeper', 'still'),
      ]) {
        const talk = await place.talk({ directory })
        assert.match(await talk.ask(begin(made)), /^fail SERVER_PATH_UNSAFE/, directory)
        assert.ok(!existsSync(join(directory, 'www')), directory)
      }
      const [explicit] = [join(open, 'cert.pem')]
      const talk = await place.talk({
        lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600', chainPath: explicit, keyPath: explicit }],
      })
      assert.match(await talk.ask(begin(made)), /^fail SERVER_PATH_UNSAFE/)
    })

    test('hostile words make nothing run, wherever they stand', async () => {
      await using place = await makePlace(shell)
      const marker = join(place.root, 'marker')
      const hostile = [
        `$(touch ${marker})`,
        `\`touch ${marker}\``,
        `;touch ${marker}`,
        `'; touch ${marker}; '`,
        `"$(touch ${marker})"`,
        `| touch ${marker}`,
        `&& touch ${marker}`,
        '--help',
        '-rf',
        '../../etc',
        '*',
        '~root',
        `\ntouch ${marker}\n`.trim(),
        '$IFS',
        '%s%n',
      ]
      const talk = await place.talk()
      const made = makeGeneration('1')
      await talk.ask(begin(made))
      for (const word of hostile) {
        const verbs = ['begin', 'swap', 'commit', 'seal', 'reuse', 'adopt', 'probe', 'release']
        for (const verb of [...verbs, 'discover', 'exclude', 'included', 'unincluded'])
          assert.match(await talk.ask(`${verb} ${word} ${word}`), /^(fail|ok)/)
        const { directory } = place
        const settled = await place.talk({
          directory: `${directory}/${word.replaceAll('/', '_')}`,
          test: ['true', word],
          reload: ['true', word],
          lineages: [
            {
              lineage: 'www',
              layout: 'pair',
              keyMode: '0600',
              chainPath: `${directory}/${word}.pem`,
              keyPath: `${directory}/${word}.key`,
            },
          ],
        })
        assert.match(await settled.ask(begin(made)), /^(fail|ok)/)
        for (const verb of ['test', 'reload', 'adopt gen-0000']) await settled.ask(verb)
        await settled.end()
      }
      assert.ok(!existsSync(marker))
    })

    describe('an include file of ours', () => {
      const ours = (text: string) => `# Made by onecert config\n${text}\n`

      /** A service whose test refuses what says "bad", and which reads all of a folder. */
      async function reading() {
        const place = await makePlace(shell)
        const folder = join(place.root, 'conf.d')
        const file = join(folder, 'onecert-www.conf')
        await mkdir(folder)
        const dump = `for each in '${folder}'/*; do echo "# configuration file $each:"; done`
        const changes = {
          test: ['sh', '-c', `! grep -rqs bad '${folder}'`],
          dumps: { nginx: ['sh', '-c', dump] },
          includes: { www: file },
        }
        const reloads = async () => (await readFile(join(place.root, 'reloads'), 'utf8').catch(() => '')).length / 7
        return {
          place,
          folder,
          file,
          reloads,
          talk: (more = {}, under: readonly string[] = []) => place.talk({ ...changes, ...more }, under),
        }
      }

      test('is put there, replaced and taken away; what its test refuses is as it was', async () => {
        const { place, folder, file, talk: open } = await reading()
        await using _place = place
        const talk = await open()
        assert.equal(await talk.ask('include www 60', ours('one')), `ok status=0 path=${file}`)
        assert.equal(await talk.ask('included www'), 'ok')
        assert.equal((await lstat(file)).mode & 0o777, 0o644)
        assert.equal(await talk.ask('include www 60', ours('bad')), 'fail SERVICE_TEST_FAILED status=1')
        assert.equal(await readFile(file, 'utf8'), ours('one'))
        assert.equal(await talk.ask('include www 60', ours('two')), `ok status=0 path=${file}`)
        assert.equal(await talk.ask('unincluded www'), 'ok status=0')
        assert.equal(await readFile(file, 'utf8'), ours('one'))
        assert.equal(await talk.ask('exclude www 60'), `ok status=0 path=${file}`)
        assert.equal(await talk.ask('included www'), 'ok')
        assert.equal(await talk.ask('exclude www 60'), 'ok path=-')
        assert.deepEqual(await readdir(folder), [])
        await talk.end()
        assert.deepEqual(await readdir(join(place.directory, '.include')), [])
      })

      test('goes when the connection ends before it was confirmed, and when its time is up', async () => {
        const { place, folder, file, reloads, talk: open } = await reading()
        await using _place = place
        const first = await open()
        await first.ask('include www 60', ours('one'))
        await first.end()
        assert.deepEqual(await readdir(folder), [])
        assert.equal(await reloads(), 2)
        const second = await open()
        await second.ask('include www 1', ours('two'))
        assert.ok(existsSync(file))
        await until(() => !existsSync(file))
        assert.equal(await second.ask('included www'), 'fail WATCHDOG_FIRED')
        await until(async () => (await reloads()) === 4)
        // A server that lost its power leaves what was there before; the next session brings it back first.
        await writeFile(file, ours('half'))
        await writeFile(join(place.directory, '.include', 'www.old'), ours('before'))
        const third = await open()
        assert.equal(await third.ask('include www 60', ours('bad')), 'fail SERVICE_TEST_FAILED status=1')
        assert.equal(await readFile(file, 'utf8'), ours('before'))
      })

      test('that the end of the connection cut short is never there', async () => {
        const { place, folder, reloads, talk: open } = await reading()
        await using _place = place
        const talk = await open()
        talk.child.stdin.write(`include www 60\n${ours('to be cut.')}`)
        await talk.end()
        assert.equal(await reloads(), 0)
        assert.deepEqual(await readdir(folder), [])
      })

      test('is refused in place of a file or link that is not ours, without a place, unread, unmarked, and beside a defect', async () => {
        const { place, folder, file, talk: open } = await reading()
        await using _place = place
        const talk = await open()
        await writeFile(file, '# mine\n')
        assert.equal(await talk.ask('include www 60', ours('one')), 'fail INCLUDE_FOREIGN')
        assert.equal(await talk.ask('exclude www 60'), 'fail INCLUDE_FOREIGN')
        assert.equal(await readFile(file, 'utf8'), '# mine\n')
        await rm(file)
        await writeFile(join(place.root, 'elsewhere'), ours('x'))
        await symlink(join(place.root, 'elsewhere'), file)
        assert.match(await talk.ask('include www 60', ours('one')), /^fail INCLUDE_FOREIGN/)
        await rm(file)
        assert.equal(await talk.ask('include www 60', 'server {}\n'), 'fail RECEIVER_PROTOCOL why=marker')
        assert.equal(await talk.ask('include shop 60', ours('one')), 'fail RECEIVER_OUTDATED include=shop')
        await writeFile(join(folder, 'theirs.conf'), 'bad\n')
        assert.equal(await talk.ask('include www 60', ours('one')), 'fail SERVICE_ALREADY_BROKEN status=1')
        await rm(join(folder, 'theirs.conf'))
        const unread = await open({ dumps: { nginx: ['echo', '# configuration file /etc/nginx/nginx.conf:'] } })
        assert.equal(await unread.ask('include www 60', ours('one')), 'fail INCLUDE_NOT_READ')
        assert.deepEqual(await readdir(folder), [])
        const nowhere = await open({ includes: { www: '' } })
        assert.equal(await nowhere.ask('include www 60', ours('one')), 'fail INCLUDE_NO_PLACE')
        const unnamed = await open({ includeNamed: false })
        assert.equal(await unnamed.ask('include www 60', ours('one')), 'fail INCLUDE_NO_PLACE')
        assert.deepEqual(await readdir(folder), [])
        await chmod(folder, 0o777)
        assert.equal(await talk.ask('include www 60', ours('one')), 'fail SERVER_PATH_UNSAFE')
      })

      test('whose time is up while its test still fails is left to the switch, with the reload that belongs to it', async () => {
        const { place, folder, file, reloads, talk: open } = await reading()
        await using _place = place
        const [bin, slow] = [join(place.root, 'bin'), join(place.root, 'slow')]
        await mkdir(bin)
        await writeFile(
          join(bin, 'sync'),
          `#!/bin/sh\n[ ! -e ${slow} ] || { rm ${slow}; sleep 1.5; }\nexec /bin/sync "$@"\n`,
          { mode: 0o755 },
        )
        // The switch is slow to flush, and the test ends in that time.
        const test = ['sh', '-c', `[ -e '${file}' ] || exit 0; touch ${slow}; sleep 1.7; exit 1`]
        const talk = await open({ test }, ['sh', '-c', `PATH=${bin}:$PATH; exec "$@"`, 'sh'])
        assert.equal(await talk.ask('include www 1', ours('one')), 'fail WATCHDOG_FIRED')
        await until(async () => (await reloads()) === 1)
        assert.deepEqual(await readdir(folder), [])
      })

      test('that could not be put back is not forgotten: the end of the connection, and the next session, try again', async () => {
        const { place, folder, file, reloads, talk: open } = await reading()
        await using _place = place
        const talk = await open({
          test: ['sh', '-c', `[ -e '${file}' ] || exit 0; rm '${file}'; mkdir '${file}'; exit 1`],
        })
        assert.equal(await talk.ask('include www 60', ours('one')), 'fail ROLLBACK_FAILED')
        const old = join(place.directory, '.include', 'www.old')
        assert.ok(existsSync(old))
        const other = await open()
        assert.equal(await other.ask('include www 60', ours('two')), 'fail ROLLBACK_FAILED')
        assert.equal(await readFile(old, 'utf8'), '')
        await rm(file, { recursive: true })
        await talk.end()
        assert.deepEqual(await readdir(folder), [])
        assert.equal(await reloads(), 1)
        assert.ok(!existsSync(old))
      })

      test('goes again where the reload fails', async () => {
        const { place, folder, talk: open } = await reading()
        await using _place = place
        const talk = await open({ reload: ['false'] })
        assert.equal(await talk.ask('include www 60', ours('one')), 'fail RELOAD_FAILED status=1')
        assert.deepEqual(await readdir(folder), [])
      })
    })

    test('of a configuration only what is about TLS leaves the server', async () => {
      await using place = await makePlace(shell)
      const configuration = [
        '# configuration file /etc/nginx/nginx.conf:',
        'http { # token=s3cret',
        '  server { listen 443 ssl; server_name www.domain.example',
        '      shop.domain.example; ssl_certificate "/tls/a.pem"; ssl_certificate_key /tls/a.key;',
        '    location /x { proxy_set_header Authorization "Basic s3cret"; auth_basic_user_file /etc/s3cret; }',
        '    set $x "{ s3cret; }"; return 200 s3cret.domain.example;',
        '  }',
        '}',
      ]
      const file = join(place.root, 'nginx.txt')
      await writeFile(file, `${configuration.join('\n')}\n`)
      const talk = await place.talk({ dumps: { nginx: ['cat', file] } })
      const printed: string[] = []
      talk.child.stdout.on('data', (data: Buffer) => printed.push(data.toString()))
      assert.equal(await talk.ask('discover nginx'), 'ok found=yes cut=no')
      const said = printed.join('').replaceAll(/[\s:;]+/g, ' ')
      assert.doesNotMatch(said, /s3cret/)
      assert.match(
        said,
        /server \{ listen 443 ssl server_name www\.domain\.example shop\.domain\.example ssl_certificate "\/tls\/a\.pem" ssl_certificate_key \/tls\/a\.key \{/,
      )
      assert.equal(await talk.ask('discover apache'), 'ok found=no')
      assert.equal(await talk.ask('discover /etc/shadow'), 'fail RECEIVER_PROTOCOL why=kind')
      assert.match(await talk.ask('versions'), /^ok ipv6=(yes|no)$/)
    })

    test('a service that talks for ever is cut to its last lines, and the conversation goes on', async () => {
      await using place = await makePlace(shell)
      const talk = await place.talk({ test: ['sh', '-c', 'seq 1 5000; exit 3'] })
      await talk.ask(begin(makeGeneration('1')))
      const lines: string[] = []
      talk.child.stdout.on('data', (data: Buffer) => lines.push(data.toString()))
      assert.equal(await talk.ask('test'), 'fail SERVICE_TEST_FAILED status=3')
      const printed = lines.join('').match(/^: \d+$/gm) ?? []
      assert.deepEqual([printed.length, printed.at(-1)], [20, ': 5000'])
      assert.equal(await talk.ask('bye'), 'ok')
    })
  })
}
