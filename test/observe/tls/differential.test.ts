import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { OnecertError } from '../../../src/base/errors.ts'
import type { Endpoint } from '../../../src/observe/endpoint.ts'
import { handshake } from '../../../src/observe/handshake.ts'
import type { Observed } from '../../../src/observe/served.ts'
import { createAuthority } from '../../authority.ts'
import { startApache } from '../../real/apache.ts'
import { startCaddy } from '../../real/caddy.ts'
import { startGnutls } from '../../real/gnutls.ts'
import { startHaproxy } from '../../real/haproxy.ts'
import { startNginx } from '../../real/nginx.ts'
import { makeDirectory, type Running } from '../../real/running.ts'
import { startTlsProgram } from '../../real/tls-program.ts'
import { sized } from './forger.ts'

const run = promisify(execFile)
const name = 'www.lab.example'
const names = [name] as const
const timeoutMs = 10_000

/** Leaf, intermediate and key in files, as services read them. */
interface Files {
  readonly chain: string
  readonly key: string
  readonly combined: string
  /** What stands behind the leaf; absent: nothing. */
  readonly others?: string
  /** What is to be seen. */
  readonly fingerprints: readonly string[]
}

let directory: string
let ecdsa: Files
let rsa: Files
before(async () => {
  directory = await makeDirectory('differential')
  const authority = await createAuthority()
  const write = async (kind: string, rsaBits?: number): Promise<Files> => {
    const { leafPem, keyPem } = await authority.sell({ names, ...(rsaBits && { rsaBits }) })
    return writeFiles(kind, leafPem + authority.intermediatePem, keyPem)
  }
  ecdsa = await write('ecdsa')
  rsa = await write('rsa', 2048)
})
after(() => rm(directory, { recursive: true }))

async function writeFiles(kind: string, chain: string, key: string): Promise<Files> {
  const home = join(directory, kind)
  await mkdir(home)
  const files = { chain: join(home, 'chain.pem'), key: join(home, 'key.pem'), combined: join(home, 'combined.pem') }
  await writeFile(files.chain, chain)
  await writeFile(files.key, key)
  await writeFile(files.combined, chain + key)
  const certificates = chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
  const others = join(home, 'others.pem')
  if (certificates.length > 1) await writeFile(others, certificates.slice(1).join('\n'))
  return {
    ...files,
    ...(certificates.length > 1 && { others }),
    fingerprints: certificates.map((pem) => fingerprintOf(new X509Certificate(pem))),
  }
}

const fingerprintOf = (certificate: X509Certificate) => certificate.fingerprint256.replaceAll(':', '').toLowerCase()

/** A self-signed certificate with a key of any kind. */
async function selfSigned(kind: string, ...options: readonly string[]): Promise<Files> {
  const [key, chain] = [join(directory, `${kind}.key`), join(directory, `${kind}.pem`)]
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
  await run('openssl', ['req', '-x509', '-nodes', '-days', '30', ...options, ...subject, '-keyout', key, '-out', chain])
  return writeFiles(kind, await readFile(chain, 'utf8'), await readFile(key, 'utf8'))
}

interface NodeView {
  readonly chain: readonly string[]
  readonly version: string | null
  readonly cipher: string
}

/** What node:tls sees there, with all that it can; null: it fails. */
function byNode({ address, port }: Endpoint): Promise<NodeView | null> {
  return new Promise((resolve) => {
    const socket = connectTls({
      host: address,
      port,
      servername: name,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ca: [],
      ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ALL:!aNULL:@SECLEVEL=0',
      ecdhCurve: 'P-256:X25519:P-384:P-521:X448:X25519MLKEM768:ffdhe2048:ffdhe8192:brainpoolP256r1:brainpoolP512r1',
      timeout: timeoutMs,
    })
    const end = (view: NodeView | null) => {
      socket.destroy()
      resolve(view)
    }
    socket.on('error', () => end(null)).on('timeout', () => end(null))
    socket.on('secureConnect', () => {
      const chain: string[] = []
      for (let next = socket.getPeerX509Certificate(); next; next = next.issuerCertificate) {
        const fingerprint = fingerprintOf(next)
        if (chain.includes(fingerprint)) break
        chain.push(fingerprint)
      }
      end({ chain, version: socket.getProtocol(), cipher: socket.getCipher().standardName })
    })
  })
}

/** Both look at it; what both see is the same, and is what was configured. */
async function same(endpoint: Endpoint, files: Files, expected: Partial<Observed> = {}): Promise<void> {
  const seen = await handshake(endpoint, { timeoutMs })
  const node = await byNode(endpoint)
  assert.ok(node, 'node:tls fails')
  assert.deepEqual(seen.chain, files.fingerprints)
  assert.deepEqual(seen.chain, node.chain)
  assert.equal(seen.version, node.version)
  assert.equal(seen.spki, (await handshake(endpoint, { timeoutMs })).spki)
  const { way = 'own', ...others } = expected
  assert.equal(seen.way, way, seen.wayReason ?? '')
  for (const [field, value] of Object.entries(others)) assert.equal(seen[field as keyof Observed], value, field)
  if (expected.cipher !== undefined) assert.equal(node.cipher, expected.cipher)
}

/** Both fail. */
async function bothFail(endpoint: Endpoint, told: RegExp): Promise<void> {
  assert.equal(await byNode(endpoint), null)
  await assert.rejects(handshake(endpoint, { timeoutMs }), (error) => {
    assert.ok(error instanceof OnecertError)
    assert.match(`${error.failure.what}: ${error.failure.fact}`, told)
    return true
  })
}

const at = ({ address, port }: Running): Endpoint => ({ address, port, name })

describe('services show our own handshake what they show node:tls', () => {
  const starters = {
    nginx: (files: Files, version: string) =>
      startNginx({ sites: [{ names, ...files }], serverLines: [`ssl_protocols ${version};`] }),
    apache: (files: Files, version: string) =>
      startApache({ sites: [{ names, ...files }], siteLines: [`SSLProtocol ${version}`] }),
    haproxy: (files: Files, version: string) =>
      startHaproxy({
        sites: [{ names, ...files }],
        certificates: `crt ${files.combined} ssl-min-ver ${version} ssl-max-ver ${version}`,
      }),
  }
  for (const [kind, start] of Object.entries(starters)) {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      for (const keys of ['ecdsa', 'rsa'] as const) {
        test(`${kind}, ${version}, ${keys}`, async () => {
          const files = keys === 'ecdsa' ? ecdsa : rsa
          await using service = await start(files, version)
          await same(at(service), files, { version })
        })
      }
    }
  }

  test('caddy: HTTP/2, TLS 1.3', async () => {
    for (const files of [ecdsa, rsa]) {
      await using service = await startCaddy({ sites: [{ names, ...files }], asOurselves: true })
      await same(at(service), files, { version: 'TLSv1.3', alpn: 'h2' })
    }
  })

  test('certificates of both kinds at one port are seen separately, in either version', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      await using service = await startNginx({
        sites: [{ names, ...ecdsa }],
        serverLines: [`ssl_protocols ${version};`, `ssl_certificate ${rsa.chain};`, `ssl_certificate_key ${rsa.key};`],
      })
      for (const [keyKind, files] of [['ecdsa', ecdsa] as const, ['rsa', rsa] as const]) {
        const seen = await handshake({ ...at(service), keyKind }, { timeoutMs })
        assert.deepEqual([seen.chain, seen.way], [files.fingerprints, 'own'])
      }
    }
  })

  test('without SNI, the default site is seen; with it, the one that has the name', async () => {
    const shop = ['shop.lab.example'] as const
    await using service = await startNginx({
      sites: [
        { names: shop, ...rsa },
        { names, ...ecdsa },
      ],
    })
    assert.deepEqual((await handshake(at(service), { timeoutMs })).chain, ecdsa.fingerprints)
    assert.deepEqual((await handshake({ ...at(service), name: '' }, { timeoutMs })).chain, rsa.fingerprints)
  })

  test('the chain is shown in the order in which it is sent', async () => {
    const { leafPem, keyPem } = await (await createAuthority('Order')).sell({ names })
    const others = await readFile(ecdsa.chain, 'utf8')
    const files = await writeFiles('order', leafPem + others, keyPem)
    await using service = await startNginx({ sites: [{ names, ...files }] })
    const seen = await handshake(at(service), { timeoutMs })
    assert.deepEqual([seen.chain.length, seen.chain], [3, files.fingerprints])
  })
})

interface Sserver {
  readonly files: Files
  readonly options: readonly string[]
}

function startSserver({ files, options }: Sserver): Promise<Running> {
  return startTlsProgram('s-server', ({ address, port }) => [
    ...['openssl', 's_server', '-accept', `${address}:${port}`, '-quiet', '-key', files.key],
    ...['-cert', files.chain, ...(files.others ? ['-cert_chain', files.others] : []), ...options],
  ])
}

/** Of `openssl ciphers`: names of OpenSSL and of IANA. */
const suites = execFileSync('openssl', [
  'ciphers',
  '-s',
  '-tls1_2',
  '-stdname',
  'ALL:!PSK:!SRP:!aNULL:!aDSS:@SECLEVEL=0',
])
  .toString()
  .trim()
  .split('\n')
  .flatMap((line) => {
    const [, iana, openssl] = /^(\S+)\s+-\s+(\S+)/.exec(line) ?? []
    return iana === undefined || openssl === undefined ? [] : [{ iana, openssl }]
  })

describe('openssl s_server', () => {
  test('there are suites to try', () => assert.ok(suites.length > 40))

  for (const { iana, openssl } of suites) {
    const exchange = iana.startsWith('TLS_RSA_') ? 'node-tls' : 'own'
    test(`TLS 1.2, ${iana}: ${exchange}`, async () => {
      const files = iana.includes('_ECDSA_') ? ecdsa : rsa
      await using server = await startSserver({ files, options: ['-tls1_2', '-cipher', `${openssl}:@SECLEVEL=0`] })
      // An RSA key exchange signs nothing: the proof is the whole handshake. Of those, node:tls offers what Node offers.
      const offered = exchange === 'own' || !/CAMELLIA|CCM_8/.test(iana)
      if (offered) await same(at(server), files, { version: 'TLSv1.2', cipher: iana, way: exchange })
      else await assert.rejects(handshake(at(server), { timeoutMs }), { code: 'PROBE_FAILED' })
    })
  }

  for (const cipher of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    test(`TLS 1.3, ${cipher}`, async () => {
      await using server = await startSserver({ files: ecdsa, options: ['-tls1_3', '-ciphersuites', cipher] })
      await same(at(server), ecdsa, { version: 'TLSv1.3', cipher })
    })
  }

  const groups = { 'P-256': 'P-256', X25519: 'X25519', 'P-384': 'P-384', 'P-521': 'P-521', X448: 'X448' }
  for (const [group, written] of Object.entries(groups)) {
    for (const version of ['-tls1_2', '-tls1_3']) {
      // TLS 1.2 with the certificate's own curve missing is no matter of the RSA certificate.
      test(`${version}, key exchange ${group}`, async () => {
        await using server = await startSserver({ files: rsa, options: [version, '-groups', written] })
        await same(at(server), rsa, { group })
      })
    }
  }

  for (const bits of [2_048, 8_192]) {
    test(`TLS 1.3, key exchange ffdhe${bits}: node:tls`, async () => {
      await using server = await startSserver({ files: ecdsa, options: ['-tls1_3', '-groups', `ffdhe${bits}`] })
      await same(at(server), ecdsa, { version: 'TLSv1.3', way: 'node-tls', group: `DHE-${bits}` })
    })
  }

  const onCurve = (curve: string) => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`]
  const only = (group: string) => ['-tls1_2', '-groups', group, '-cipher', 'ALL:@SECLEVEL=0']

  for (const curve of ['brainpoolP256r1', 'brainpoolP512r1']) {
    test(`TLS 1.2, key exchange ${curve}, and a key on it: node:tls`, async () => {
      await using exchange = await startSserver({ files: rsa, options: [...only(curve), '-cipher', 'ECDHE'] })
      await same(at(exchange), rsa, { way: 'node-tls', group: curve })
      const files = await selfSigned(curve, ...onCurve(curve))
      await using key = await startSserver({ files, options: only(curve) })
      await same(at(key), files, { way: 'node-tls' })
    })
  }

  for (const curve of ['secp256k1', 'secp224r1', 'prime192v1']) {
    test(`TLS 1.2, key exchange ${curve}, and a key on it: both fail`, async () => {
      await using exchange = await startSserver({
        files: rsa,
        options: [...only(curve), '-cipher', 'ECDHE:@SECLEVEL=0'],
      })
      await bothFail(at(exchange), /handshake_failure/)
      await using key = await startSserver({ files: await selfSigned(curve, ...onCurve(curve)), options: only(curve) })
      await bothFail(at(key), /handshake_failure/)
    })
  }

  const kinds = {
    'ec-p384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    'ec-p521': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521'],
    'rsa-3072': ['-newkey', 'rsa:3072'],
    'rsa-pss': ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048'],
    ed25519: ['-newkey', 'ed25519'],
    ed448: ['-newkey', 'ed448'],
  }
  for (const [kind, options] of Object.entries(kinds)) {
    test(`a key of the kind ${kind}, in either version`, async () => {
      const files = await selfSigned(kind, ...options)
      for (const version of ['-tls1_2', '-tls1_3']) {
        await using server = await startSserver({ files, options: [version] })
        await same(at(server), files)
      }
    })
  }

  test('each signature scheme that goes with an RSA key', async () => {
    for (const scheme of [
      'rsa_pss_rsae_sha256',
      'rsa_pss_rsae_sha384',
      'rsa_pss_rsae_sha512',
      'RSA+SHA256',
      'RSA+SHA384',
      'RSA+SHA512',
    ]) {
      await using server = await startSserver({ files: rsa, options: ['-tls1_2', '-sigalgs', scheme] })
      await same(at(server), rsa)
    }
  })

  test('a server that asks for a certificate of ours is looked at as well', async () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      await using server = await startSserver({ files: ecdsa, options: [version, '-verify', '2'] })
      await same(at(server), ecdsa)
    }
  })

  test('an OCSP response that comes along is seen', async () => {
    const response = join(directory, 'response.der')
    const [index, request] = [join(directory, 'index.txt'), join(directory, 'request.der')]
    await writeFile(index, '')
    await run('openssl', ['ocsp', '-issuer', ecdsa.chain, '-cert', ecdsa.chain, '-reqout', request])
    const own = await selfSigned('responder', '-newkey', 'rsa:2048')
    const signer = ['-rsigner', own.chain, '-rkey', own.key, '-CA', own.chain]
    await run('openssl', ['ocsp', '-index', index, ...signer, '-reqin', request, '-respout', response])
    for (const version of ['-tls1_2', '-tls1_3']) {
      const options = [version, '-status', '-status_file', response]
      await using server = await startSserver({ files: ecdsa, options })
      await same(at(server), ecdsa, { ocspStaple: true })
      await using silent = await startSserver({ files: ecdsa, options: [version] })
      await same(at(silent), ecdsa, { ocspStaple: false })
    }
  })

  test('SCTs that come along are counted', async () => {
    const list = sized(2, Buffer.concat([119, 120].map((bytes) => sized(2, Buffer.alloc(bytes)))))
    // In the hello of TLS 1.2, and beside the certificate of TLS 1.3 (SSL_CTX_add_custom_ext(3)).
    const info = Buffer.concat([Buffer.from([0, 0, 0x11, 0x80, 0, 18]), sized(2, list)])
    const file = join(directory, 'scts.pem')
    const label = 'SERVERINFOV2 FOR SCTS'
    await writeFile(file, `-----BEGIN ${label}-----\n${info.toString('base64')}\n-----END ${label}-----\n`)
    for (const version of ['-tls1_2', '-tls1_3']) {
      await using server = await startSserver({ files: ecdsa, options: [version, '-serverinfo', file] })
      await same(at(server), ecdsa, { scts: 2 })
    }
  })

  test('TLS 1.3: a server that keeps nothing but a cookie, and one that hides nothing from middleboxes', async () => {
    for (const option of ['-stateless', '-no_middlebox']) {
      await using server = await startSserver({ files: ecdsa, options: ['-tls1_3', option] })
      await same(at(server), ecdsa, { version: 'TLSv1.3' })
    }
  })

  test('more certificates than our own takes: node:tls, which orders them by issuer', async () => {
    const [leaf = '', intermediate = ''] = (await readFile(ecdsa.chain, 'utf8')).split(
      /(?<=-----END CERTIFICATE-----\n)/,
    )
    const files = await writeFiles('many', leaf + intermediate.repeat(40), await readFile(ecdsa.key, 'utf8'))
    await using server = await startSserver({ files, options: [] })
    const seen = await handshake(at(server), { timeoutMs })
    assert.deepEqual([seen.way, seen.chain], ['node-tls', ecdsa.fingerprints])
    assert.match(seen.wayReason ?? '', /a chain of 41 certificates/)
  })

  test('a chain as long as clients take it, and one that is longer: both fail', async () => {
    const filled = (bytes: number) =>
      selfSigned(`filled-${bytes}`, '-newkey', 'rsa:2048', '-addext', `nsComment=${'x'.repeat(bytes)}`)
    const [long, longer] = [await filled(101_000), await filled(103_000)]
    for (const version of ['-tls1_2', '-tls1_3']) {
      await using server = await startSserver({ files: long, options: [version] })
      await same(at(server), long)
      await using excessive = await startSserver({ files: longer, options: [version] })
      await bothFail(at(excessive), /message of 1\d{5} bytes.*EXCESSIVE_MESSAGE_SIZE/)
    }
  })

  test('a certificate that is signed with SHA-1 is seen, to be told, also where its kind is wanted', async () => {
    const files = await selfSigned('sha1', '-sha1', '-newkey', 'rsa:2048')
    for (const version of ['-tls1_2', '-tls1_3']) {
      await using server = await startSserver({ files, options: [version, '-cipher', 'DEFAULT:@SECLEVEL=0'] })
      const seen = await handshake({ ...at(server), keyKind: 'rsa' }, { timeoutMs })
      assert.deepEqual([seen.chain, seen.way], [files.fingerprints, 'own'])
    }
  })

  test('nothing newer than TLS 1.1, and no certificate at all: both fail', async () => {
    await using old = await startSserver({ files: rsa, options: ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'] })
    await bothFail(at(old), /protocol_version|TLS 1\.1|PROTOCOL/)
    await using anonymous = await startSserver({ files: rsa, options: ['-tls1_2', '-cipher', 'aNULL:@SECLEVEL=0'] })
    await bothFail(at(anonymous), /handshake_failure/)
  })

  test('small records, padded ones and single bytes of TCP make no difference', async () => {
    const options = ['-tls1_3', '-max_send_frag', '512', '-record_padding', '1024', '-split_send_frag', '512']
    await using server = await startSserver({ files: rsa, options })
    await same(at(server), rsa)
  })
})

const goServer = `package main

import (
	"crypto/tls"
	"log"
	"net"
	"os"
	"strconv"
)

// ADDRESS CHAIN KEY MINOR-VERSION CURVE [CHAIN KEY]
func main() {
	pairs := []tls.Certificate{}
	for at := 2; at < len(os.Args); at += 4 {
		pair, err := tls.LoadX509KeyPair(os.Args[at], os.Args[at+1])
		if err != nil {
			log.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	minor, _ := strconv.Atoi(os.Args[4])
	curve, _ := strconv.Atoi(os.Args[5])
	version := uint16(0x0301 + minor)
	listener, err := tls.Listen("tcp", os.Args[1], &tls.Config{
		Certificates:     pairs,
		MinVersion:       version,
		MaxVersion:       version,
		CurvePreferences: []tls.CurveID{tls.CurveID(curve)},
		NextProtos:       []string{"h2"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			continue
		}
		go func(connection net.Conn) {
			connection.(*tls.Conn).Handshake()
			connection.Close()
		}(connection)
	}
}
`

/** Its key manager PKIX compares with what a client says of certificates, too (RFC 8446 section 4.2.3). */
const javaServer = `import java.io.*; import java.net.*; import java.security.*; import javax.net.ssl.*;
// ADDRESS PORT VERSION STORE...
public class Server { public static void main(String[] words) throws Exception {
  char[] password = "public".toCharArray();
  KeyStore all = KeyStore.getInstance("PKCS12");
  all.load(null, null);
  for (int at = 3; at < words.length; at++) {
    KeyStore one = KeyStore.getInstance("PKCS12");
    one.load(new FileInputStream(words[at]), password);
    all.setKeyEntry(words[at], one.getKey("it", password), password, one.getCertificateChain("it"));
  }
  KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
  keys.init(all, password);
  SSLContext context = SSLContext.getInstance("TLS");
  context.init(keys.getKeyManagers(), null, null);
  SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory()
    .createServerSocket(Integer.parseInt(words[1]), 50, InetAddress.getByName(words[0]));
  listener.setEnabledProtocols(new String[] { words[2] });
  while (true) {
    SSLSocket socket = (SSLSocket) listener.accept();
    new Thread(() -> { try { socket.startHandshake(); socket.close(); } catch (IOException e) {} }).start();
  }
} }
`

describe('other implementations', () => {
  const priorities = {
    'TLS 1.3': ['NORMAL:-VERS-ALL:+VERS-TLS1.3', 'TLSv1.3'],
    'TLS 1.2': ['NORMAL:-VERS-ALL:+VERS-TLS1.2', 'TLSv1.2'],
    'TLS 1.2, DHE': ['NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA', 'TLSv1.2'],
    'TLS 1.2, Camellia in GCM': ['NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CAMELLIA-256-GCM', 'TLSv1.2'],
    'TLS 1.3, P-384': ['NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1', 'TLSv1.3'],
  } as const
  for (const [what, [priority, version]] of Object.entries(priorities)) {
    test(`GnuTLS, ${what}`, async () => {
      for (const files of what.includes('DHE') ? [rsa] : [ecdsa, rsa]) {
        const pair = ['--x509certfile', files.chain, '--x509keyfile', files.key]
        await using server = await startGnutls(['--priority', priority, ...pair])
        const seen = await handshake(at(server), { timeoutMs })
        assert.deepEqual(
          [seen.chain, seen.way, seen.version],
          [files.fingerprints, 'own', version],
          seen.wayReason ?? '',
        )
      }
    })
  }

  describe('Go', () => {
    let program: string
    before(async () => {
      const source = join(directory, 'server.go')
      program = join(directory, 'go-server')
      await writeFile(source, goServer)
      const env = { ...process.env, GOCACHE: join(directory, 'go'), GO111MODULE: 'off' }
      await run('/usr/bin/go', ['build', '-o', program, source], { env })
    })

    const curves = { 'P-256': 23, X25519: 29, 'P-384': 24, 'P-521': 25 }
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      for (const [group, curve] of Object.entries(curves)) {
        test(`${version}, key exchange ${group}`, async () => {
          const ed25519 = await selfSigned(`go-${version}-${group}`, '-newkey', 'ed25519')
          for (const files of [ecdsa, rsa, ed25519]) {
            await using server = await startTlsProgram('go', ({ address, port }) => [
              ...[program, `${address}:${port}`, files.chain, files.key, version.slice(-1), `${curve}`],
            ])
            await same(at(server), files, { version, group, alpn: 'h2' })
          }
        })
      }
    }

    test('a key on a curve that nobody offered: both fail', async () => {
      const files = await selfSigned('p-224', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp224r1')
      await using server = await startTlsProgram('go', ({ address, port }) => [
        ...[program, `${address}:${port}`, files.chain, files.key, '2', '23'],
      ])
      await bothFail(at(server), /on secp224r1, which was not offered.*WRONG_CURVE/)
    })

    test('certificates of both kinds at one port are seen separately', async () => {
      for (const version of ['2', '3']) {
        await using server = await startTlsProgram('go', ({ address, port }) => [
          ...[program, `${address}:${port}`, ecdsa.chain, ecdsa.key, version, '29', rsa.chain, rsa.key],
        ])
        for (const [keyKind, files] of [['ecdsa', ecdsa] as const, ['rsa', rsa] as const]) {
          const seen = await handshake({ ...at(server), keyKind }, { timeoutMs })
          assert.deepEqual([seen.chain, seen.way], [files.fingerprints, 'own'])
        }
      }
    })
  })

  test('Python', async () => {
    for (const [files, version] of [[ecdsa, 'TLSv1_2'] as const, [rsa, 'TLSv1_3'] as const]) {
      await using server = await startTlsProgram('python', async ({ address, port, directory: home }) => {
        const script = join(home, 'server.py')
        await writeFile(
          script,
          `import socketserver, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = context.maximum_version = ssl.TLSVersion.${version}
context.load_cert_chain("${files.chain}", "${files.key}")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            context.wrap_socket(self.request, server_side=True)
        except OSError:
            pass
Server(("${address}", ${port}), Handler).serve_forever()
`,
        )
        return ['/usr/bin/python3', script]
      })
      await same(at(server), files, { version: version.replace('_', '.') })
    }
  })

  describe('Java', () => {
    const starter = async (version: string, all: readonly Files[]) => {
      const stores = all.map(({ combined }) => combined.replace(/pem$/, 'p12'))
      for (const [at, { combined }] of all.entries()) {
        const out = ['-out', stores[at] ?? '', '-name', 'it', '-passout', 'pass:public']
        await run('openssl', ['pkcs12', '-export', '-in', combined, ...out])
      }
      return startTlsProgram('java', async ({ address, port, directory: home }) => {
        const source = join(home, 'Server.java')
        await writeFile(source, javaServer)
        return ['/usr/bin/java', '-XX:TieredStopAtLevel=1', source, address, `${port}`, version, ...stores]
      })
    }

    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      test(`${version}, and certificates of both kinds at one port, whatever kind the CA's key is of`, async () => {
        await using server = await starter(version, [ecdsa, rsa])
        await same(at(server), ecdsa, { version })
        for (const [keyKind, files] of [['ecdsa', ecdsa] as const, ['rsa', rsa] as const]) {
          const seen = await handshake({ ...at(server), keyKind }, { timeoutMs })
          assert.deepEqual([seen.chain, seen.way], [files.fingerprints, 'own'])
        }
      })
    }
  })
})
