/**
 * Configuration that answers every http-01 challenge of one account: the answer is the token and the thumbprint of the
 * account key (RFC 8555 section 8.1), so nothing has to be written at a renewal. The thumbprint is public.
 */
const snippets: Readonly<Record<string, (thumbprint: string) => string>> = {
  // No location: a `return` of the whole server comes before all of those.
  nginx: (thumbprint) => `# above any return or rewrite of the server block
if ($uri ~ "^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$") {
  return 200 "$1.${thumbprint}";
}`,
  // The rule of a virtual host comes before Redirect and ProxyPass. An error page for 200 is the one way in which Apache
  // answers with a text that it makes itself.
  apache: (thumbprint) => `# needs mod_rewrite; above any other RewriteRule of the virtual host
RewriteEngine On
RewriteRule "^/\\.well-known/acme-challenge/[-_a-zA-Z0-9]+$" - [END,R=200]
<LocationMatch "^/\\.well-known/acme-challenge/(?<token>[-_a-zA-Z0-9]+)$">
  ErrorDocument 200 "%{env:MATCH_TOKEN}.${thumbprint}"
</LocationMatch>`,
  haproxy: (thumbprint) =>
    `# above any other http-request rule of the frontend
http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].${thumbprint}" if { path_reg ^/\\.well-known/acme-challenge/[-_a-zA-Z0-9]+$ }`,
}

export const snippetKinds = Object.keys(snippets)

/** @param kind one of snippetKinds */
export function statelessSnippet(kind: string, thumbprint: string): string {
  return snippets[kind]?.(thumbprint) ?? ''
}
