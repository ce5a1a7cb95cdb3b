/** Entries to be added to a fleet file, section by section. */
export interface Additions {
  readonly issuers: readonly Entry[]
  readonly certificates: readonly Entry[]
}

export interface Entry {
  readonly name: string
  readonly value: Readonly<Record<string, Value>>
  /** One line each; they stand above it. */
  readonly comments: readonly string[]
}

export type Value = string | number | boolean | readonly string[] | { readonly [key: string]: Value }

export const addedSections = ['issuers', 'certificates'] as const

/** The entries as they stand in a fleet file. */
export function entriesText(additions: Additions): string {
  return addedSections
    .filter((section) => additions[section].length > 0)
    .map((section) => `${section}:\n${entryLines(additions[section], '  ').join('\n')}\n`)
    .join('')
}

export function entryLines(entries: readonly Entry[], indent: string): string[] {
  return entries.flatMap((entry) => [
    ...entry.comments.map((comment) => `${indent}# ${comment}`),
    `${indent}${flowEntry(entry)}`,
  ])
}

/** On one line, so that it fits into a mapping with braces too. */
export function flowEntry({ name, value }: Entry): string {
  return `${scalar(name)}: ${flow(value)}`
}

function flow(value: Value): string {
  if (typeof value === 'string') return scalar(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (isList(value)) return `[${value.map(scalar).join(', ')}]`
  return `{ ${Object.entries(value)
    .map(([key, each]) => `${key}: ${flow(each)}`)
    .join(', ')} }`
}

function isList(value: Value): value is readonly string[] {
  return Array.isArray(value)
}

/** Plain where no reader of YAML can take it for something else than a text. */
function scalar(text: string): string {
  const plain = /^[a-z/][\w./-]*$/i.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return plain || /^\d+d$/.test(text) ? text : JSON.stringify(text)
}
