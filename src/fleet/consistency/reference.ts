import { quote } from '../../base/errors.ts'
import { closest } from '../../base/similar.ts'
import { parseHostName } from '../../pki/names.ts'
import type { Path, Source } from '../source.ts'

export function refer(
  source: Source,
  kind: string,
  name: string | undefined,
  known: Record<string, unknown> | undefined,
  path: Path,
): void {
  if (name === undefined || known === undefined || Object.hasOwn(known, name)) return
  source.report('CONFIG_UNKNOWN_REFERENCE', path, () => {
    const names = Object.keys(known).filter(({ length }) => length <= nameCharactersMax)
    const near = name.length <= nameCharactersMax ? closest(name, names) : undefined
    return {
      what: `there is no ${kind} "${quote(name)}"`,
      fact: near
        ? `did you mean "${quote(near)}"?`
        : `there is ${quote(names.join(', ') || 'none', listCharactersMax)}`,
    }
  })
}

export const nameCharactersMax = 63

export const listCharactersMax = 200

export function hostNameOf(written: string | undefined): string | undefined {
  try {
    return written === undefined ? undefined : parseHostName(written)
  } catch {
    // The schema tells why it is none.
    return undefined
  }
}

/** The positions at which a value stands again, with the first one of each. */
export function repetitions(values: readonly (string | undefined)[]): (readonly [again: number, first: number])[] {
  const first = new Map<string, number>()
  return values.flatMap((value, at) => {
    const before = value === undefined ? undefined : first.get(value)
    if (value !== undefined && before === undefined) first.set(value, at)
    return before === undefined ? [] : [[at, before] as const]
  })
}

export function reportRepeated(source: Source, values: readonly (string | undefined)[], path: Path): void {
  for (const [again] of repetitions(values)) {
    source.report('CONFIG_BAD_VALUE', [...path, again], () => ({
      what: `"${quote(values[again] ?? '')}" is in "${quote(path.map(String).join('.'), 120)}" a second time`,
      next: 'take one of them away',
    }))
  }
}
