import { isDeepStrictEqual } from 'node:util'
import { OnecertError } from '../../base/errors.ts'
import { parseHostName } from '../../pki/names.ts'
import { readSource } from '../source.ts'

export const file = 'the fleet file'

export type Path = readonly (string | number)[]

export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce(
    (inside, step) => (Array.isArray(inside) ? inside[Number(step)] : child(inside, String(step))),
    value,
  )
}

export function hostNameOf(written: string): string | undefined {
  try {
    return parseHostName(written)
  } catch {
    return undefined
  }
}

/** What was read has mappings without a prototype. */
export function sameMeaning(left: unknown, right: unknown): boolean {
  return left !== undefined && isDeepStrictEqual(structuredClone(left), structuredClone(right))
}

export function readValue(text: string): unknown {
  const source = readSource(text, file)
  source.refuse()
  return source.value
}

export function readable(text: string): unknown {
  try {
    return readValue(text)
  } catch (error) {
    if (error instanceof OnecertError) return undefined
    throw error
  }
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** The mapping at a key; an empty one where there is none. */
export function childMap(value: unknown, key: string): Record<string, unknown> {
  const found = child(value, key)
  return isMapping(found) ? found : {}
}

export function child(value: unknown, key: string): unknown {
  return isMapping(value) ? value[key] : undefined
}
