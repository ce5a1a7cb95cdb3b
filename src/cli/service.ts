import { InvalidArgumentError } from 'commander'
import { parse } from 'yaml'
import type { Value } from '../fleet/entries.ts'
import { serviceKinds } from '../fleet/layout.ts'

/** Something terminates TLS there. */
export const terminating = serviceKinds.filter((kind) => kind !== 'none')

/** A service as the fleet file has it: a word, or a mapping where it needs settings. What is in it, the fleet file's own check says. */
export function serviceValue(text: string): Value {
  if (!text.startsWith('{')) {
    if (terminating.some((kind) => kind === text)) return text
    throw new InvalidArgumentError(`Allowed choices are ${terminating.join(', ')}, or { KIND: { … } }.`)
  }
  try {
    return parse(text) as Value
  } catch {
    throw new InvalidArgumentError('It is no mapping such as { traefik: { dynamic: /etc/traefik/dynamic/tls.yaml } }.')
  }
}
