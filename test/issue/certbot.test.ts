import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OnecertError } from '../../src/base/errors.ts'
import { readCertbotRenewal } from '../../src/issue/certbot.ts'
import { refusalOf } from '../base/refusals.ts'
import { renewalText } from '../clients.ts'

const read = (text: string) => readCertbotRenewal(text, 'www.conf')

/** As certbot 2.1 wrote it. */
const standalone = renewalText('/etc/letsencrypt', 'www.lab.example', [
  'reuse_key = True',
  'account = ba7ebc569fe5aaa3082ad9426995d450',
  'http01_port = 24402',
  'renew_hook = /usr/local/bin/copy-everywhere --token hunter2',
  'server = https://acme-v02.api.letsencrypt.org/directory',
  'authenticator = standalone',
  'key_type = ecdsa',
])

test('a file that certbot wrote is read', () => {
  assert.deepEqual(read(standalone), {
    version: '2.1.0',
    server: 'https://acme-v02.api.letsencrypt.org/directory',
    authenticator: 'standalone',
    installer: null,
    keyType: 'ec-p256',
    reuseKey: true,
    preferredChain: null,
    renews: true,
    hooks: ['renew_hook'],
  })
})

test('the command of a hook, which may hold a secret, is not kept', () => {
  assert.doesNotMatch(JSON.stringify(read(standalone)), /hunter2|copy-everywhere/)
})

test('subsections, lists, quotes, comments and None are read as configobj writes them', () => {
  const text = renewalText('/etc/letsencrypt', 'www.lab.example', [
    'authenticator = webroot',
    'webroot_path = /var/www/html,',
    'installer = None',
    'preferred_chain = "ISRG Root X1" # not the old one',
    "post_hook = '''echo \"it's",
    "key_type = dsa'''",
    'pre_hook = ""',
    'key_type = rsa',
    'rsa_key_size = 4096',
    'autorenew = False',
    '[[webroot_map]]',
    'www.lab.example = /var/www/html',
    'server = a directory of that name',
  ])
  const { authenticator, installer, preferredChain, hooks, keyType, renews, server } = read(
    `\ufeff${text.replaceAll('\n', '\r\n')}`,
  )
  assert.deepEqual(
    { authenticator, installer, preferredChain, hooks, keyType, renews, server },
    {
      authenticator: 'webroot',
      installer: null,
      preferredChain: 'ISRG Root X1',
      hooks: ['post_hook'],
      keyType: 'rsa-4096',
      renews: false,
      server: null,
    },
  )
})

for (const [what, version, lines, keyType] of [
  ['nothing is said, in certbot 2', '2.11.0', [], 'ec-p256'],
  ['nothing is said, in certbot 1', '1.21.0', [], 'rsa-2048'],
  ['a size alone is said, in certbot 1', '1.9.0', ['rsa_key_size = 4096'], 'rsa-4096'],
  ['a curve is said', '2.1.0', ['key_type = ecdsa', 'elliptic_curve = secp384r1'], 'ec-p384'],
  ['a curve is said that we do not make', '2.1.0', ['elliptic_curve = secp521r1'], null],
  ['a size is said that we do not make', '2.1.0', ['key_type = rsa', 'rsa_key_size = 8192'], null],
] as const) {
  test(`the kind of the next key where ${what}: ${keyType}`, () => {
    const text = renewalText('/etc/letsencrypt', 'www', lines).replace('version = 2.1.0', `version = ${version}`)
    assert.equal(read(text).keyType, keyType)
  })
}

for (const [what, text, told] of [
  ['an empty file', '', /has no section \[renewalparams\]/],
  ['a line of something else', 'version = 2.1.0\nnonsense\n', /line 2 is no "key = value"/],
  ['brackets that do not match', '[[renewalparams]\n', /line 1 is no section/],
  ['quotes without an end', "[renewalparams]\nx = 1\npre_hook = '''a\nb\n", /quotes of line 3 have no end/],
] as const) {
  test(`${what} is refused with its line, and not shown`, async () => {
    const error = await refusalOf(() => read(text))
    assert.equal(error.code, 'IMPORT_UNREADABLE')
    assert.match(error.failure.fact ?? '', told)
  })
}

test('whatever text is given, it is read or refused', () => {
  const lines = fc.array(
    fc.oneof(fc.string(), fc.constantFrom('[renewalparams]', '[[x]]', "a = '''", 'key_type = rsa')),
  )
  fc.assert(
    fc.property(lines, (each) => {
      try {
        read(each.join('\n'))
      } catch (error) {
        assert.ok(error instanceof OnecertError && error.code === 'IMPORT_UNREADABLE')
      }
    }),
    { numRuns: 300 },
  )
})
