import {
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from 'yaml'
import type { ErrorCode } from '../base/catalogue.ts'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'

type Path = readonly PropertyKey[]

/** A YAML text whose every value can be pointed at. */
export interface Source {
  /** Plain values; mappings are null-prototype objects. */
  readonly value: unknown
  /** A problem at a value, or at its key. */
  problem(
    code: ErrorCode,
    path: Path,
    failure: { what: string; fact?: string; next?: string },
    at?: 'key' | 'value',
  ): OnecertError
}

const aliasesMax = 100
const excerptCharactersMax = 100

/**
 * Reads the YAML of a fleet file.
 * @throws OnecertError CONFIG_EMPTY, CONFIG_BINARY, CONFIG_MULTI_DOC, CONFIG_SYNTAX, CONFIG_DUPLICATE_KEY,
 * CONFIG_QUOTE_WILDCARD, CONFIG_TAG_FORBIDDEN, INPUT_TOO_LARGE
 */
export function readSource(input: Uint8Array | string, file: string): Source {
  const text = decode(input, file)
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: false, version: '1.2', merge: false })
  const state = 'nothing was done'
  const build = (code: ErrorCode, offset: number, failure: { what: string; fact?: string; next?: string }) => {
    const { line, col } = lines.linePos(offset)
    return new OnecertError(code, {
      ...failure,
      state,
      at: `${file}:${line}:${col}`,
      excerpt: excerpt(text, line, col),
    })
  }
  if ('empty' in documents || documents.length === 0) empty(file)
  const [document, second] = documents
  if (!document) empty(file)
  if (second)
    throw build('CONFIG_MULTI_DOC', second.range[0], {
      what: 'a second YAML document begins here; a fleet file has one',
    })

  const problems: OnecertError[] = []
  for (const error of document.errors) {
    const [offset] = error.pos
    problems.push(
      wildcard(text, offset, build) ??
        build('CONFIG_SYNTAX', offset, { what: error.message.split(/ at line \d+/)[0] ?? 'no YAML' }),
    )
  }
  visit(document, {
    Alias(_, alias) {
      const offset = alias.range?.[0] ?? 0
      if (document.errors.length === 0 && alias.resolve(document) === undefined) {
        problems.push(
          wildcard(text, offset, build) ??
            build('CONFIG_SYNTAX', offset, { what: `the alias *${quote(alias.source)} names no anchor` }),
        )
      }
    },
    Node(_, node) {
      if (node.tag !== undefined && !node.tag.startsWith('tag:yaml.org,2002:')) tagForbidden(node)
      else if (isScalar(node) && node.tag !== undefined && text[node.range?.[0] ?? 0] === '!') tagForbidden(node)
    },
    Map(_, map) {
      const seen = new Map<string, number>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        const offset = key.range?.[0] ?? 0
        const before = seen.get(String(key.value))
        if (before !== undefined) {
          problems.push(
            build('CONFIG_DUPLICATE_KEY', offset, {
              what: `the key "${quote(String(key.value))}" is here a second time`,
              fact: `the first is in line ${lines.linePos(before).line}`,
              next: 'take one of them away',
            }),
          )
        }
        seen.set(String(key.value), offset)
      }
    },
  })
  function tagForbidden(node: Node): void {
    problems.push(
      build('CONFIG_TAG_FORBIDDEN', node.range?.[0] ?? 0, {
        what: `the tag ${quote(String(node.tag))} is not allowed`,
        next: 'write the plain value',
      }),
    )
  }
  throwAll(problems)
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) empty(file)

  return {
    value: plain(toValue(document, file)),
    problem: (code, path, failure, at = 'value') => build(code, offsetOf(document.contents, path, at), failure),
  }
}

function toValue(document: { toJS(options: { maxAliasCount: number }): unknown }, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: aliasesMax })
  } catch {
    return fail('CONFIG_SYNTAX', {
      what: `${file} uses aliases too often`,
      fact: `at most ${aliasesMax} are resolved`,
      state: 'nothing was done',
    })
  }
}

/** The first problem, with all others of the same file behind it, in the order of their lines. */
export function throwAll(problems: readonly OnecertError[]): void {
  const place = (error: OnecertError) => (error.failure.at ?? '').split(':').slice(-2).map(Number)
  const sorted = [...problems].sort((left, right) => {
    const [leftLine = 0, leftColumn = 0] = place(left)
    const [rightLine = 0, rightColumn = 0] = place(right)
    return leftLine - rightLine || leftColumn - rightColumn
  })
  const [first, ...also] = sorted
  if (first) throw also.length === 0 ? first : new OnecertError(first.code, { ...first.failure, also })
}

function decode(input: Uint8Array | string, file: string): string {
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  if (bytes.length > inputBytesMax) {
    fail('INPUT_TOO_LARGE', {
      what: `${file} is too large`,
      fact: `${bytes.length} bytes, limit ${inputBytesMax}`,
      state: 'nothing was done',
    })
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!/[\x00-\x08\x0e-\x1f]/.test(text)) return text
  } catch {
    // Not UTF-8: told below.
  }
  return fail('CONFIG_BINARY', {
    what: `${file} is no text`,
    fact: 'it holds bytes that UTF-8 text does not',
    state: 'nothing was done',
    next: 'name the fleet file: onecert --fleet FILE …',
  })
}

function empty(file: string): never {
  fail('CONFIG_EMPTY', {
    what: `${file} is empty`,
    state: 'nothing was done',
    next: 'onecert init writes a commented one where there is none',
  })
}

/** `name: *.example.com` without quotes is an alias to YAML: the most likely mistake in this file. */
function wildcard(
  text: string,
  offset: number,
  build: (code: ErrorCode, offset: number, failure: { what: string; next: string }) => OnecertError,
): OnecertError | null {
  const [name] = /^\*\.?[A-Za-z0-9.*_-]*/.exec(text.slice(offset)) ?? []
  if (!name?.startsWith('*.') && name !== '*') return null
  return build('CONFIG_QUOTE_WILDCARD', offset, {
    what: 'a wildcard needs quotes: to YAML a * begins an alias',
    next: `write "${quote(name)}"`,
  })
}

function excerpt(text: string, line: number, column: number): string {
  const source = text.split(/\r\n|[\r\n]/)[line - 1] ?? ''
  if (/pass(phrase|word)|secret|PRIVATE KEY/i.test(source.replace(/passphrase-file|key-file/g, '')))
    return '(a line that may hold a secret is not shown)'
  const shown = quote(source.replaceAll('\t', ' '), excerptCharactersMax)
  return column <= excerptCharactersMax ? `${shown}\n${' '.repeat(column - 1)}^` : shown
}

/** The offset of a value (or its key) by its path; of the nearest thing around it where it is not there. */
function offsetOf(root: Node | null, path: Path, at: 'key' | 'value'): number {
  let node: Node | null = root
  let pair: Pair | null = null
  for (const step of path) {
    if (isMap(node)) {
      const found = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      if (!found) break
      pair = found as Pair
      node = (found.value as Node | null) ?? null
    } else if (isCollection(node)) {
      const item = node.items[Number(step)]
      if (item === undefined || isPair(item)) break
      pair = null
      node = item as Node
    } else break
  }
  const key = pair?.key as Node | undefined
  const place = at === 'key' || !node ? (key ?? node) : isMap(node) && key ? key : node
  return place?.range?.[0] ?? 0
}

/** Values without prototypes: `__proto__` is a key like any other. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  const bare: Record<string, unknown> = Object.create(null)
  for (const name of Object.keys(value)) {
    Object.defineProperty(bare, name, {
      value: plain((value as Record<string, unknown>)[name]),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return bare
}
