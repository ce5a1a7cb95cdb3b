/**
 * Makes every file beside it anew: `node test/vectors/pki/make.ts`. One defect a file; the number is its row in the list of bad
 * input. Needs openssl 3. All keys and passwords here are for tests only.
 */
import { execFileSync } from 'node:child_process'
import { checkPrimeSync, createPrivateKey, generatePrimeSync, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const here = import.meta.dirname
const work = mkdtempSync(join(tmpdir(), 'onecert-vectors-'))
const scratch = (name: string) => join(work, name)
const read = (name: string) => readFileSync(scratch(name))
const put = (name: string, content: string | Uint8Array) => writeFileSync(join(here, name), content)

const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] })
const password = 'correct horse'

const always = { from: '20260101000000Z', until: '20991231235959Z' }

function makeKey(name: string, ...options: string[]): void {
  openssl('genpkey', ...options, '-out', scratch(`${name}.key`))
}

const p256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']

interface Wish {
  readonly subject: string
  readonly extensions: readonly string[]
  /** Absent: self-signed. */
  readonly issuer?: string
  readonly digest?: string
  readonly dates?: { from: string; until: string }
  readonly key?: string
}

/** `openssl ca`, because it alone lets us choose both dates. */
function makeCertificate(name: string, wish: Wish): void {
  const { subject, extensions, issuer, digest = 'sha256', dates = always, key = name } = wish
  const config = scratch('ca.cnf')
  const lines = [
    '[ca]\ndefault_ca=d\n[d]',
    `database=${scratch('index')}\nserial=${scratch('serial')}\nnew_certs_dir=${work}`,
    'policy=p\nunique_subject=no\nemail_in_dn=no\nrand_serial=yes\n[p]\norganizationName=optional\ncommonName=optional',
    `[req]\ndistinguished_name=n\n[n]\n[e]`,
    ...extensions,
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  writeFileSync(scratch('index'), '')
  const digestOption = digest === 'none' ? [] : [`-${digest}`]
  openssl('req', '-new', '-config', config, '-key', scratch(`${key}.key`), '-subj', subject, ...digestOption, '-out', scratch(`${name}.csr`))
  const signer = issuer
    ? ['-cert', scratch(`${issuer}.pem`), '-keyfile', scratch(`${issuer}.key`)]
    : ['-selfsign', '-keyfile', scratch(`${key}.key`)]
  openssl(
    ...['ca', '-batch', '-notext', '-config', config, '-md', digest === 'none' ? 'default' : digest, ...signer],
    ...['-startdate', dates.from, '-enddate', dates.until, '-extensions', 'e'],
    ...['-in', scratch(`${name}.csr`), '-out', scratch(`${name}.pem`)],
  )
}

const ids = ['subjectKeyIdentifier=hash', 'authorityKeyIdentifier=keyid']
const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', ...ids]
const aia = 'authorityInfoAccess=caIssuers;URI:http://ca.vectors.example/intermediate.der'
const server = (names: string) => [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=serverAuth',
  `subjectAltName=${names}`,
  aia,
  ...ids,
]
const names = 'DNS:www.vectors.test,DNS:Shop.vectors.test,DNS:*.wild.vectors.test,IP:192.0.2.7,IP:2001:db8::7'

for (const name of ['root', 'intermediate', 'foreign-root', 'foreign', 'lookalike', 'leaf', 'other', 'second']) makeKey(name, ...p256)
makeCertificate('root', { subject: '/O=Vectors/CN=Vectors Root', extensions: authority.filter((line) => !line.startsWith('authority')) })
makeCertificate('intermediate', { subject: '/O=Vectors/CN=Vectors R11', extensions: authority, issuer: 'root' })
makeCertificate('foreign-root', { subject: '/CN=Foreign Root', extensions: authority.filter((line) => !line.startsWith('authority')) })
makeCertificate('foreign', { subject: '/CN=Foreign CA', extensions: authority, issuer: 'foreign-root' })
makeCertificate('lookalike', { subject: '/O=Vectors/CN=Vectors R11', extensions: authority, issuer: 'foreign-root' })
makeCertificate('second', { subject: '/CN=Vectors Second', extensions: authority, issuer: 'intermediate' })

const subject = '/CN=www.vectors.test'
const issuer = 'intermediate'
makeCertificate('leaf', { subject, extensions: server(names), issuer })
const chain = (...parts: string[]) => Buffer.concat(parts.map((name) => read(`${name}.pem`)))

makeCertificate('by-leaf', { subject, extensions: server(names), issuer: 'leaf', key: 'other' })
put('signed-by-leaf.pem', chain('by-leaf', 'leaf', 'intermediate'))
put('root.pem', chain('root'))
put('intermediate.pem', chain('intermediate'))
put('good.pem', chain('leaf', 'intermediate'))
put('good.key', read('leaf.key'))
put('01-other.key', read('other.key'))
put('02-intermediate-first.pem', chain('intermediate', 'leaf'))
put('03-leaf-only.pem', chain('leaf'))
put('04-foreign-intermediate.pem', chain('leaf', 'foreign'))
put('04-lookalike-intermediate.pem', chain('leaf', 'lookalike'))
put('06-root-included.pem', chain('leaf', 'intermediate', 'root'))
put('07-empty.pem', '')
put('08-request.pem', read('leaf.csr'))
put('09-key-as-certificate.pem', read('leaf.key'))
put('10-public-key.pem', openssl('pkey', '-in', scratch('leaf.key'), '-pubout'))
put('11-certificate.der', openssl('x509', '-in', scratch('leaf.pem'), '-outform', 'DER'))
put('11-key.der', openssl('pkcs8', '-topk8', '-nocrypt', '-in', scratch('leaf.key'), '-outform', 'DER'))
put('13-bom-crlf-text.pem', `\uFEFFsubject=www.vectors.test\r\n${chain('leaf', 'intermediate').toString().replaceAll('\n', '\r\n')}`)
const leafLines = read('leaf.pem').toString().trimEnd().split('\n')
put('15-truncated-base64.pem', `${leafLines.map((line, at) => (at === leafLines.length - 2 ? line.slice(0, 5) : line)).join('\n')}\n`)
put('15-stray-character.pem', `${leafLines.map((line, at) => (at === 4 ? `?${line.slice(1)}` : line)).join('\n')}\n`)
put('15-cut-short.pem', `${leafLines.slice(0, 8).join('\n')}\n`)
put('15-damaged-inside.pem', `${leafLines.map((line, at) => (at === 1 ? `MIIBAAAA${line.slice(8)}` : line)).join('\n')}\n`)

const pass = ['-passout', `pass:${password}`]
put('17-pkcs8-aes.key', openssl('pkcs8', '-topk8', '-v2', 'aes256', '-in', scratch('leaf.key'), ...pass))
put('17-pkcs8-scrypt.key', openssl('pkcs8', '-topk8', '-scrypt', '-in', scratch('leaf.key'), ...pass))
put('17-pkcs8-3des.key', openssl('pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES', '-in', scratch('leaf.key'), ...pass))
put('17-traditional.key', openssl('ec', '-aes256', '-in', scratch('leaf.key'), ...pass))
put('17-pkcs8-aes.der', openssl('pkcs8', '-topk8', '-v2', 'aes128', '-in', scratch('leaf.key'), '-outform', 'DER', ...pass))
put('key-sec1.key', openssl('ec', '-in', scratch('leaf.key'), '-param_enc', 'named_curve'))

makeKey('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048')
put('key-pkcs1.key', openssl('rsa', '-in', scratch('rsa.key'), '-traditional'))
makeKey('weak', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024')
put('19-rsa-1024.key', read('weak.key'))
makeCertificate('weak', { subject, extensions: server(names), issuer })
put('19-rsa-1024.pem', chain('weak', 'intermediate'))
put('19-exponent-3.key', rsaKey(goodPrime(3n), goodPrime(3n), 3n))
put('19-exponent-1.key', rsaKey(goodPrime(65_537n), goodPrime(65_537n), 1n))
put('19-roca.key', rsaKey(rocaPrime(), rocaPrime(), 65_537n))
const prime = goodPrime(65_537n)
put('19-close-primes.key', rsaKey(prime, nextPrime(prime + (1n << 500n)), 65_537n))

makeCertificate('sha1', { subject, extensions: server(names), issuer, digest: 'sha1', key: 'leaf' })
put('20-sha1.pem', chain('sha1', 'intermediate'))
makeKey('secp256k1', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1')
makeCertificate('secp256k1', { subject, extensions: server(names), issuer })
put('21-secp256k1.pem', chain('secp256k1', 'intermediate'))
put('21-secp256k1.key', read('secp256k1.key'))
makeKey('ed25519', '-algorithm', 'ED25519')
makeCertificate('ed25519', { subject, extensions: server(names), issuer })
put('21-ed25519.pem', chain('ed25519', 'intermediate'))
put('21-ed25519.key', read('ed25519.key'))

const past = { from: '20260101000000Z', until: '20261229000000Z' }
makeCertificate('expired', { subject, extensions: server(names), issuer, dates: past, key: 'leaf' })
put('22-expired.pem', chain('expired', 'intermediate'))
const future = { from: '20270101004000Z', until: '20271231000000Z' }
makeCertificate('early', { subject, extensions: server(names), issuer, dates: future, key: 'leaf' })
put('22-not-yet-valid.pem', chain('early', 'intermediate'))

const ca = server(names).map((line) => line.replace('CA:FALSE', 'CA:TRUE').replace('digitalSignature', 'digitalSignature,keyCertSign'))
makeCertificate('ca-leaf', { subject, extensions: ca, issuer, key: 'leaf' })
put('23-ca-as-leaf.pem', chain('ca-leaf', 'intermediate'))
const client = server(names).map((line) => line.replace('serverAuth', 'clientAuth'))
makeCertificate('client', { subject, extensions: client, issuer, key: 'leaf' })
put('23-no-server-auth.pem', chain('client', 'intermediate'))
const encipher = server(names).map((line) => line.replace('digitalSignature', 'keyEncipherment'))
makeCertificate('encipher', { subject, extensions: encipher, issuer, key: 'leaf' })
put('23-no-digital-signature.pem', chain('encipher', 'intermediate'))
makeCertificate('hostile', { subject: '/CN=\u001b]0;owned\u0007<img onerror>', extensions: server(names), issuer, key: 'leaf' })
put('hostile-subject.pem', chain('hostile'))
makeCertificate('self', { subject, extensions: server(names).filter((line) => !line.startsWith('authority')), key: 'leaf' })
put('self-signed.pem', chain('self'))
makeCertificate('deep', { subject, extensions: server(names), issuer: 'second', key: 'leaf' })
put('deep-shuffled.pem', chain('deep', 'root', 'intermediate', 'second'))

writeFileSync(scratch('all.pem'), chain('leaf', 'intermediate'))
const export12 = (...options: string[]) =>
  openssl('pkcs12', '-export', '-in', scratch('all.pem'), ...options, '-passout', `pass:${password}`)
const withKey = ['-inkey', scratch('leaf.key'), '-name', 'www']
const modern = export12(...withKey)
put('28-modern.p12', modern)
put('30-no-key.p12', export12('-nokeys'))
put('31-legacy-rc2.p12', export12(...withKey, '-legacy'))
put('31-legacy-3des.p12', export12(...withKey, '-legacy', '-descert'))
put('31-rc4.p12', export12(...withKey, '-legacy', '-certpbe', 'PBE-SHA1-RC4-128', '-keypbe', 'PBE-SHA1-RC4-128'))
put('31-no-mac.p12', export12(...withKey, '-nomac'))
put('31-empty-password.p12', openssl('pkcs12', '-export', '-in', scratch('all.pem'), ...withKey, '-passout', 'pass:'))
put('32-truncated.p12', modern.subarray(0, 700))
put('32-pem.p12', chain('leaf', 'intermediate'))

rmSync(work, { recursive: true })

function goodPrime(exponent: bigint): bigint {
  for (;;) {
    const candidate = generatePrimeSync(1024, { bigint: true })
    if ((candidate - 1n) % exponent !== 0n) return candidate
  }
}

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n
  while (!checkPrimeSync(candidate) || (candidate - 1n) % 65_537n === 0n) candidate += 2n
  return candidate
}

/** As the defective library made them: k·M + (65537^a mod M), M the product of the first 126 primes. */
function rocaPrime(): bigint {
  const primes: bigint[] = []
  for (let n = 2n; primes.length < 126; n++) if (primes.every((each) => n % each !== 0n)) primes.push(n)
  const product = primes.reduce((left, right) => left * right, 1n)
  const length = product.toString(2).length
  for (;;) {
    const bits = BigInt(1024 - length)
    const k = (random(8) % (1n << (bits - 2n))) + (3n << (bits - 2n))
    const candidate = k * product + power(65_537n, random(32), product)
    if (candidate.toString(2).length === 1024 && checkPrimeSync(candidate)) return candidate
  }
}

function random(bytes: number): bigint {
  return BigInt(`0x${randomBytes(bytes).toString('hex')}`)
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  for (let square = base % modulus, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if (rest & 1n) result = (result * square) % modulus
  }
  return result
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n]
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y]
  return ((x % modulus) + modulus) % modulus
}

function rsaKey(p: bigint, q: bigint, e: bigint): Uint8Array | string {
  const d = inverse(e, (p - 1n) * (q - 1n))
  const text = (value: bigint) => {
    const hex = value.toString(16)
    return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex').toString('base64url')
  }
  const numbers = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) }
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, text(value)]))
  return createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' }).export({ type: 'pkcs8', format: 'pem' })
}
