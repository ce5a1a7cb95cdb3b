import { OnecertError } from '../../src/base/errors.ts'
import { parseFleet } from '../../src/fleet/document.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'

export const name = { file: 'fleet.yaml', directory: '/etc/fleet' }

const hostKey = `SHA256:${'AbCdEfGhIj'.repeat(4)}123`

/** A fleet file without a defect: all issuers, services, ways to a server and topologies. */
export const good = `version: 1
issuers:
  lab: { local-ca: { lifetime: 90d } }
  bought:
    import: { certificate: ./www.pem, key: /etc/ssl/www.key, chain: chain.pem, passphrase-file: pass }
  boxed:
    import: { pkcs12: www.p12 }
certificates:
  www:
    names: [www.domain.example, shop.domain.example, "*.app.domain.example"]
    issuer: lab
    key: { type: rsa-3072, keep-for: 180d }
    licence: { servers: 10 }
  api:
    names: [api.domain.example]
    issuer: bought
servers:
  eu-1:
    ssh: deploy@eu-1.domain.example
    host-key: "${hostKey}="
    address: 192.0.2.11
    location: frankfurt
    service: nginx
  us-1:
    ssh: { destination: us-1, port: 2222, identity: keys/deploy, sudo: true }
    known-hosts: known_hosts
    address: "2001:db8::7"
    port: 8443
    service: apache
    probe: through-server
    files: { www: { chain: /etc/ssl/www.crt, key: /etc/ssl/www.key, mode: "0640", owner: "root:ssl-cert" } }
  edge:
    local: true
    address: 203.0.113.9
    service: { haproxy: { reload: systemctl reload haproxy, test: [haproxy, -c, -f, /etc/haproxy/haproxy.cfg] } }
    directory: /srv/tls/
    files: { www: { combined: /etc/haproxy/www.pem } }
  other:
    ssh: root@other
    host-key: ["${hostKey}", "${hostKey.replace('123', '456')}"]
    address: 203.0.113.10
    service: { command: { reload: [/bin/reload, "a b"], start: /bin/start, layout: combined } }
sites:
  www.domain.example: { certificate: www, dns: [eu-1, us-1] }
  shop.domain.example:
    certificate: www
    load-balancer:
      address: 203.0.113.5
      servers: [us-1, other]
      control:
        ssh: root@lb-1
        host-key: "${hostKey}"
        haproxy: { socket: /run/haproxy/admin.sock, backend: be_www, members: { us-1: s1 } }
  "*.app.domain.example":
    certificate: www
    reverse-proxy: { servers: [edge], upstreams: ["http://10.0.1.5:8080"] }
  API.domain.example: { certificate: api, dns: [us-1] }
rollout: { canary: 2, wave: 40%, confirm-within: 90s }
`

/** The good file with one thing in it replaced, which must be there. */
export function spoilt(found: string, replacement: string): string {
  if (!good.includes(found)) throw new Error(`the good file does not hold ${found}`)
  return good.replace(found, () => replacement)
}

export function parse(text: Uint8Array | string): Fleet {
  return parseFleet(text, name)
}

/** Every problem that a file is refused with, in the order of the report; anything but an error of the catalogue passes through. */
export function problemsOf(text: Uint8Array | string): OnecertError[] {
  try {
    parse(text)
  } catch (thrown) {
    if (thrown instanceof OnecertError) return [thrown, ...(thrown.failure.also ?? [])]
    throw thrown
  }
  return []
}

/** `fleet.yaml:line:column` of a piece of text. */
export function placeOf(text: string, piece: string): string {
  const offset = text.indexOf(piece)
  if (offset < 0) throw new Error(`the text does not hold ${piece}`)
  const lines = text.slice(0, offset).split('\n')
  return `${name.file}:${lines.length}:${(lines.at(-1) ?? '').length + 1}`
}
