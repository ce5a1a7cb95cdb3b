import { z } from 'zod'

export const listener = {
  starttls: z
    .enum(['smtp', 'imap', 'pop3', 'ftp', 'ldap', 'xmpp', 'postgres', 'mysql'])
    .optional()
    .describe('TLS begins inside of this protocol'),
  'proxy-protocol': z.enum(['v1', 'v2']).optional().describe('it expects the header of a balancer before TLS'),
}
