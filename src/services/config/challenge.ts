/** How a server answers http-01 challenges (RFC 8555 section 8.3) at its port for plain HTTP. */
export type Challenge =
  | { readonly kind: 'webroot'; readonly webroot: string }
  | { readonly kind: 'stateless'; readonly thumbprint: string }
  /** Passed on to where onecert listens: `address:port`. */
  | { readonly kind: 'listen'; readonly address: string }

export const challengePath = '/.well-known/acme-challenge/'

/**
 * Configuration that answers every http-01 challenge of one account: the answer is the token and the thumbprint of the
 * account key (RFC 8555 section 8.1), so nothing has to be written at a renewal. The thumbprint is public.
 */
const snippets: Readonly<Record<string, (thumbprint: string) => string>> = {
  nginx: (thumbprint) => `location ~ ^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$ {
  default_type text/plain;
  return 200 "$1.${thumbprint}";
}`,
  // An error page for 200: the one way in which Apache answers with a text that it makes itself.
  apache: (thumbprint) => `# needs mod_rewrite
<LocationMatch "^/\\.well-known/acme-challenge/(?<token>[-_a-zA-Z0-9]+)$">
  RewriteEngine On
  RewriteRule ^ - [L,R=200]
  ErrorDocument 200 "%{env:MATCH_TOKEN}.${thumbprint}"
</LocationMatch>`,
  haproxy: (thumbprint) =>
    `http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].${thumbprint}" if { path_reg ^/\\.well-known/acme-challenge/[-_a-zA-Z0-9]+$ }`,
  caddy: (thumbprint) => `@challenge path_regexp challenge ^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$
handle @challenge {
  respond "{re.challenge.1}.${thumbprint}" 200
}`,
}

export const snippetKinds = Object.keys(snippets)

/** @param kind one of snippetKinds */
export function statelessSnippet(kind: string, thumbprint: string): string {
  return snippets[kind]?.(thumbprint) ?? ''
}
