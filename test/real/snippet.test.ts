import assert from 'node:assert/strict'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { snippetKinds, statelessSnippet } from '../../src/services/config/challenge.ts'
import { startApache } from './apache.ts'
import { startCaddy } from './caddy.ts'
import { writeCertificate } from './certificate.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { makeDirectory } from './running.ts'
import type { RunningService } from './service.ts'

const thumbprint = 'zigHufnftqKOGBb-q4VgDQoMpvSpHb-PXAHspQRNMJ4'
const name = 'www.lab.example'

async function start(kind: string): Promise<RunningService> {
  const files = await writeCertificate(await makeDirectory('snippet'), [name])
  const sites = [{ names: [name] as const, ...files }] as const
  const lines = [statelessSnippet(kind, thumbprint)]
  if (kind === 'nginx') return startNginx({ sites, serverLines: lines })
  if (kind === 'caddy') return startCaddy({ sites, siteLines: lines })
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
