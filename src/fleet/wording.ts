import type { z } from 'zod'
import { catalogue, type ErrorCode } from '../base/catalogue.ts'
import { quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import type { Refusal } from './schema/grammar.ts'
import { fleetSchema } from './schema.ts'
import type { Path, Source } from './source.ts'

/** What the schema finds wrong, in words that follow the place: `"servers.web-1.port" must be at most 65535`. */
export function wording(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') return `must be ${kinds[issue.expected] ?? 'another kind of value'}`
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.join(', ')}`
  if (issue.code === 'too_small') {
    if (issue.origin === 'number') return `must be at least ${issue.minimum}`
    return 'is empty'
  }
  if (issue.code === 'too_big') {
    if (issue.origin === 'number') return `must be at most ${issue.maximum}`
    return `has more than ${issue.maximum} ${issue.origin === 'array' ? 'entries' : 'characters'}`
  }
  return undefined
}

const kinds: Record<string, string> = {
  string: 'a text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

/** Reports the issues of the schema where the fleet file has them. */
export function reportIssues(issues: readonly z.core.$ZodIssue[], source: Source, around: Path = []): void {
  const ofWrongKind = new Set(issues.flatMap(({ code, path }) => (code === 'invalid_type' ? [path.join('\n')] : [])))
  for (const issue of issues) {
    // zod counts the entries of a list that should be a text.
    const length = issue.code === 'too_big' || issue.code === 'too_small'
    if (!length || !ofWrongKind.has(issue.path.join('\n'))) reportIssue(issue, source, around)
  }
}

function reportIssue(issue: z.core.$ZodIssue, source: Source, around: Path): void {
  const path = [...around, ...issue.path]
  const best = issue.code === 'invalid_union' ? bestAlternative(issue) : null
  if (best) reportIssues(best, source, path)
  else if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys)
      source.report('CONFIG_UNKNOWN_KEY', [...path, key], () => unknownKey(key, path), 'key')
  } else if (issue.code === 'invalid_key') {
    const { message, code, ...more } = refusalOf(issue.issues[0])
    const what = code.startsWith('NAME_') ? message : `"${quote(String(path.at(-1)))}" ${message}`
    source.report(code, path, () => ({ what, ...more }), 'key')
  } else if (path.join() === 'version') {
    source.report('CONFIG_BAD_VALUE', path, () => ({
      what: '"version" is missing or wrong',
      fact: 'this onecert reads version 1',
      next: 'write "version: 1" as the first line',
    }))
  } else {
    const { message, code, ...more } = refusalOf(issue)
    const what = code.startsWith('NAME_') ? message : `${placeOf(path)} ${message}`
    source.report(code, path, () => ({ what, ...more }))
  }
}

/** Of a union, the alternative for this kind of value; among several, the one that came furthest tells most. */
function bestAlternative({ errors }: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] | undefined {
  const depth = (issues: readonly z.core.$ZodIssue[]) => Math.max(0, ...issues.map(({ path }) => path.length))
  const fitting = errors.filter(
    (issues) => !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0),
  )
  return fitting.toSorted((left, right) => depth(right) - depth(left))[0]
}

function refusalOf(issue: z.core.$ZodIssue | undefined): {
  message: string
  code: ErrorCode
  fact?: string
  next?: string
} {
  const { code, fact, next }: Refusal = issue?.code === 'custom' ? (issue.params ?? {}) : {}
  return {
    message: issue === undefined ? 'is no name' : (withoutValue(issue) ?? issue.message),
    code: code !== undefined && Object.hasOwn(catalogue, code) ? code : 'CONFIG_BAD_VALUE',
    ...(fact !== undefined && { fact }),
    ...(next !== undefined && { next }),
  }
}

/** Whatever the schema would say of the kind of value, where there is none. */
function withoutValue(issue: z.core.$ZodIssue): string | null {
  if (issue.code === 'custom' || (issue.code === 'invalid_type' && issue.expected === 'never')) return null
  return issue.input === undefined ? 'is missing' : issue.input === null ? 'has no value' : null
}

function placeOf(path: Path): string {
  return path.length === 0 ? 'the fleet file' : `"${quote(path.map(String).join('.'), 120)}"`
}

function unknownKey(key: string, path: Path): { what: string; fact?: string } {
  const known = knownKeys(path)
  const near = closest(key.slice(0, 80), known)
  return {
    what: `unknown key "${quote(key)}" in ${placeOf(path)}`,
    ...(near ? { fact: `did you mean "${near}"?` } : known.length > 0 && { fact: `known here: ${known.join(', ')}` }),
  }
}

/** The keys that the schema knows at a place, from its own shape; not those that are only reserved. */
function knownKeys(path: Path): string[] {
  let schemas: z.core.$ZodType[] = [fleetSchema]
  for (const step of path) schemas = schemas.flatMap((schema) => below(schema, step))
  const shapes = schemas
    .flatMap(unwrapped)
    .flatMap(({ _zod: { def } }) =>
      'shape' in def ? Object.entries(def.shape as Record<string, z.core.$ZodType>) : [],
    )
  const usable = shapes.filter(([, schema]) => unwrapped(schema).some(({ _zod: { def } }) => def.type !== 'never'))
  return [...new Set(usable.map(([key]) => key))]
}

function below(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType[] {
  return unwrapped(schema).flatMap(({ _zod: { def } }) => {
    if ('shape' in def) return (def.shape as Record<PropertyKey, z.core.$ZodType>)[step] ?? []
    return 'valueType' in def ? (def.valueType as z.core.$ZodType) : []
  })
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  const { def } = schema._zod
  if ('innerType' in def) return unwrapped(def.innerType as z.core.$ZodType)
  if ('options' in def) return (def.options as z.core.$ZodType[]).flatMap(unwrapped)
  return [schema]
}
