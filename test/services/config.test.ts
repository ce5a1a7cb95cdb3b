import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OnecertError } from '../../src/base/errors.ts'
import { profiles } from '../../src/services/config/profile.ts'
import type { ConfigRequest, SiteRequest } from '../../src/services/config/request.ts'
import { configOf } from '../../src/services/config/software.ts'
import { atLeast, readVersions, type Software, type Versions } from '../../src/services/config/versions.ts'

const pair = { layout: 'pair', chain: '/etc/onecert/www/current/fullchain.pem', key: '/k' } as const

function made(
  software: Software,
  versions: Versions,
  site: Partial<SiteRequest> = {},
  request: Partial<ConfigRequest> = {},
) {
  const certificates = software === 'haproxy' ? [{ layout: 'combined', combined: '/c.pem' } as const] : [pair]
  return configOf[software]({
    profile: profiles.intermediate,
    versions,
    bind: null,
    port: 443,
    proxyProtocol: false,
    tickets: null,
    httpPort: 80,
    sites: [{ name: 'www.domain.example', certificates, upstreams: [], challenge: null, more: null, ...site }],
    ...request,
  })
}

test('versions are compared by their numbers, and one that is not known is neither', () => {
  assert.equal(atLeast('1.25.1', '1.25.1'), true)
  assert.equal(atLeast('1.9.15', '1.25.1'), false)
  assert.equal(atLeast('3.10', '3.5'), true)
  assert.equal(atLeast('3.5', '3.5.0'), true)
  assert.equal(atLeast(undefined, '1'), null)
})

test('what the programs of several distributions say is read; the library that runs counts, not the one of the build', () => {
  const lines = [
    'nginx nginx version: nginx/1.22.1',
    'nginx built with OpenSSL 3.5.4 30 Sep 2025 (running with OpenSSL 3.0.17 1 Jul 2025)',
    'haproxy HAProxy version 3.0.11-1+deb13u1 2025/09/30 - https://haproxy.org/',
    'haproxy Built with OpenSSL version : OpenSSL 3.0.1 1 Jan 2022',
    'haproxy Running on OpenSSL version : OpenSSL 3.5.4 30 Sep 2025',
    'httpd Server version: Apache/2.4.62 (Red Hat Enterprise Linux)',
    'caddy v2.10.2 h1:g/gTYjGMD0dec+UgMw8SnfmJ3I9+M2TdvoRL/Ovu6U8=',
    'openssl OpenSSL 3.5.1 1 Jul 2025 (Library: OpenSSL 3.5.1 1 Jul 2025)',
  ]
  assert.deepEqual(readVersions(lines, 'nginx'), { software: '1.22.1', openssl: '3.0.17' })
  assert.deepEqual(readVersions(lines, 'haproxy'), { software: '3.0.11', openssl: '3.5.4' })
  assert.deepEqual(readVersions(lines, 'apache'), { software: '2.4.62', openssl: '3.5.1' })
  assert.deepEqual(readVersions(lines, 'caddy'), { software: '2.10.2' })
  assert.deepEqual(readVersions(['nginx freenginx'], 'nginx'), {})
})

test('the post-quantum key exchange comes first where OpenSSL has it, and is not named where it would be refused', () => {
  const curve = {
    nginx: /^ *ssl_ecdh_curve (\S+);$/m,
    apache: /^ *SSLOpenSSLConfCmd Curves (\S+)$/m,
    haproxy: / curves (\S+) /,
  }
  for (const [software, pattern] of Object.entries(curve) as [keyof typeof curve, RegExp][]) {
    const curves = (openssl?: string) => pattern.exec(made(software, openssl === undefined ? {} : { openssl }))?.[1]
    assert.equal(curves('3.5.0'), 'X25519MLKEM768:X25519:prime256v1:secp384r1')
    assert.equal(curves('3.4.9'), 'X25519:prime256v1:secp384r1')
    assert.equal(curves(), 'X25519:prime256v1:secp384r1')
    assert.match(
      made(software, {}),
      /# X25519MLKEM768 belongs first in this list where OpenSSL is 3\.5 or newer, which is not known/,
    )
  }
  assert.match(made('caddy', { software: '2.10.0' }), /^ *\t* *curves x25519mlkem768 x25519 /m)
  assert.doesNotMatch(made('caddy', { software: '2.6.2' }), /^\s*curves x25519mlkem768/m)
})

test('nginx: HTTP/2, IPv6 and tickets as the version has them; what is not known stays a comment', () => {
  const lines = (versions: Versions) =>
    made('nginx', versions)
      .split('\n')
      .map((line) => line.trim())
  assert.ok(lines({ software: '1.25.1' }).includes('http2 on;'))
  assert.ok(!lines({ software: '1.25.0' }).includes('http2 on;'))
  assert.ok(!lines({}).includes('http2 on;'))
  assert.ok(lines({ ipv6: true }).includes('listen [::]:443 ssl;'))
  assert.ok(!lines({ ipv6: false }).includes('listen [::]:443 ssl;'))
  assert.ok(lines({ software: '1.22.1' }).includes('ssl_session_tickets off;'))
  assert.ok(!lines({ software: '1.23.2' }).includes('ssl_session_tickets off;'))
  assert.ok(lines({}).includes('ssl_session_tickets off;'))
})

test('Apache before 2.4.36 is told what to leave out, for it refuses the name of TLS 1.3', () => {
  assert.match(made('apache', { software: '2.4.35' }), /SSLProtocol all -SSLv3 -TLSv1 -TLSv1\.1\n/)
  assert.match(made('apache', {}), /SSLProtocol all -SSLv3/)
  assert.match(made('apache', { software: '2.4.62' }), /SSLProtocol -all \+TLSv1\.2 \+TLSv1\.3\n/)
})

test('what no configuration can be made of is refused', () => {
  const refuses = (make: () => string, what: RegExp) =>
    assert.throws(
      make,
      (error: unknown) =>
        error instanceof OnecertError && error.code === 'CONFIG_BAD_VALUE' && what.test(error.failure.what),
    )
  refuses(() => made('nginx', {}, { upstreams: ['http://192.0.2.1', 'https://192.0.2.2'] }), /upstreams/)
  refuses(() => made('apache', {}, { upstreams: ['http://192.0.2.1/app'] }), /upstreams/)
  refuses(() => made('haproxy', {}, { certificates: [pair] }), /one file/)
})

test('a wildcard, and two certificates', () => {
  const site = { name: '*.domain.example', certificates: [pair, { ...pair, key: '/rsa' }] }
  assert.match(
    made('nginx', {}, site),
    /server_name \*\.domain\.example;\n[\s\S]*ssl_certificate_key \/k;\n[\s\S]*ssl_certificate_key \/rsa;/,
  )
  assert.match(made('apache', {}, site), /ServerAlias \*\.domain\.example\n/)
  assert.match(made('haproxy', {}, { name: site.name }), /\{ ssl_fc_sni -m end -i \.domain\.example \}/)
})
