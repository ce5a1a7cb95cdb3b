/** The commented fleet file that `onecert init` writes. */
export function fleetTemplate(): string {
  return `# The fleet file of onecert: what should be. Check it with: onecert check
# All keys: docs/fleet-file.md; for completion in an editor: onecert schema
version: 1

# Where certificates come from.
issuers:
  internal:                                  # a CA of our own, for labs and internal names
    local-ca: { common-name: Internal, lifetime: 90d }
  # bought:                                  # a certificate that was bought
  #   import: { certificate: ./www.pem, key: ./www.key, chain: ./chain.pem }
  # kept:                                    # what certbot, acme.sh, lego or Caddy keep in a directory
  #   watch: /etc/letsencrypt/live/www.domain.example

# One certificate, one key pair, for all the servers of its sites.
certificates:
  www:
    names: [www.domain.example]              # a wildcard needs quotes: "*.domain.example"
    issuer: internal
    key: { type: ec-p256, keep-for: 180d }   # a renewal inside 180 days moves no private key
    # licence: { servers: 10 }               # what the terms of the CA allow

servers:
  web-1:
    ssh: root@web-1.domain.example           # or an alias of ssh_config; for this machine: local: true
    # host-key: "SHA256:…"                   # onecert server scan web-1 shows it
    address: 192.0.2.11                      # where its own handshakes are looked at
    service: nginx                           # apache, haproxy, caddy, postfix, … (docs/guides/services.md)
    # files: { www: { chain: /etc/nginx/ssl/www.crt, key: /etc/nginx/ssl/www.key } }

# Which host name is served by which servers, and how traffic reaches them:
# dns: [servers] · load-balancer: { address, servers } · reverse-proxy: { servers, upstreams }
sites:
  www.domain.example: { certificate: www, dns: [web-1] }

# One server first, then a quarter of the rest at once. A swap that is not confirmed undoes itself.
rollout: { canary: 1, wave: 25%, confirm-within: 120s }
`
}
