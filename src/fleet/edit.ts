import { parseDocument } from 'yaml'
import { fail } from '../base/errors.ts'

/**
 * The fleet file with the host key of a server set, comments and order kept.
 * @throws OnecertError CONFIG_SYNTAX, SERVER_UNKNOWN
 */
export function setHostKey(text: string, server: string, fingerprint: string): string {
  const document = parseDocument(text)
  if (document.errors.length > 0) fail('CONFIG_SYNTAX', { what: 'the fleet file is no YAML', next: 'onecert check' })
  if (!document.hasIn(['servers', server]))
    fail('SERVER_UNKNOWN', { what: `there is no server "${server}" in the fleet file` })
  const value = document.createNode(fingerprint)
  value.type = 'QUOTE_DOUBLE'
  document.setIn(['servers', server, 'host-key'], value)
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}
