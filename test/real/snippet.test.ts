import assert from 'node:assert/strict'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { snippetKinds, statelessSnippet } from '../../src/cli/snippet.ts'
import { startApache } from './apache.ts'
import { writeCertificate } from './certificate.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { makeDirectory } from './running.ts'
import type { RunningService } from './service.ts'

const thumbprint = 'zigHufnftqKOGBb-q4VgDQoMpvSpHb-PXAHspQRNMJ4'
const name = 'www.lab.example'

async function start(kind: string, lines = [statelessSnippet(kind, thumbprint)]): Promise<RunningService> {
  const files = await writeCertificate(await makeDirectory('snippet'), [name])
  const sites = [{ names: [name] as const, ...files }] as const
  if (kind === 'nginx') return startNginx({ sites, serverLines: lines })
  return kind === 'apache' ? startApache({ sites, siteLines: lines }) : startHaproxy({ sites, frontendLines: lines })
}

function fetched({ address, port }: RunningService, path: string): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port, path, servername: name, rejectUnauthorized: false, headers: { host: name } }
    request(options, (answer) => text(answer).then((body) => resolve([answer.statusCode, body]), reject))
      .on('error', reject)
      .end()
  })
}

describe('the snippet that answers http-01 by itself', () => {
  for (const kind of snippetKinds) {
    test(`${kind} gives the token and the thumbprint, and nothing for other paths`, async () => {
      const service = await start(kind)
      try {
        const token = 'Ab_c-9zXq'
        assert.deepEqual(await fetched(service, `/.well-known/acme-challenge/${token}`), [
          200,
          `${token}.${thumbprint}`,
        ])
        for (const path of ['/.well-known/acme-challenge/a.b', '/.well-known/acme-challenge/', '/x/Ab'])
          assert.doesNotMatch((await fetched(service, path))[1], new RegExp(thumbprint), path)
      } finally {
        await service.stop()
      }
    })
  }
})

const elsewhere = 'https://elsewhere.example'
/** Redirects of all that a server has, and whether the snippet wins below them too. */
const redirects: readonly (readonly [kind: string, lines: string, belowToo: boolean])[] = [
  ['nginx', `return 301 ${elsewhere}$request_uri;`, false],
  ['nginx', `rewrite ^ ${elsewhere}$request_uri permanent;`, false],
  ['nginx', `location ~ / { return 301 ${elsewhere}$request_uri; }`, true],
  ['nginx', 'location ^~ /.well-known/ { return 404; }', true],
  ['apache', `Redirect permanent / ${elsewhere}/`, true],
  ['apache', `RedirectMatch 301 ^/(.*)$ ${elsewhere}/$1`, true],
  ['apache', `<Location "/">\n  Redirect permanent ${elsewhere}/\n</Location>`, true],
  ['apache', `RewriteEngine On\nRewriteRule ^ ${elsewhere}%{REQUEST_URI} [R=301,L]`, false],
  ['haproxy', `http-request redirect prefix ${elsewhere} code 301`, false],
  ['haproxy', `redirect prefix ${elsewhere} code 301`, true],
]

describe('the snippet beside a redirect of everything', () => {
  for (const [kind, lines, belowToo] of redirects) {
    test(`${kind}, ${lines.replaceAll('\n', ' ')}: it wins above it${belowToo ? ' and below' : ', and has to stand there'}`, async () => {
      const snippet = statelessSnippet(kind, thumbprint)
      for (const [order, wins] of [
        [[snippet, lines], true],
        [[lines, snippet], belowToo],
      ] as const) {
        const service = await start(kind, [...order])
        try {
          const [status, body] = await fetched(service, '/.well-known/acme-challenge/Ab_c-9zXq')
          assert.equal(status === 200 && body === `Ab_c-9zXq.${thumbprint}`, wins, `${status} ${body}`)
          // HAProxy comes to `redirect` behind all `http-request`, and ours for every path is one.
          if (!lines.includes('404') && !lines.startsWith('redirect'))
            assert.equal((await fetched(service, '/x'))[0], 301)
        } finally {
          await service.stop()
        }
      }
    })
  }
})
