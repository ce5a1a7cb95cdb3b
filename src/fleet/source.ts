import {
  type Alias,
  Composer,
  CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  visit,
  type YAMLMap,
} from 'yaml'
import type { ErrorCode } from '../base/catalogue.ts'
import { fail, OnecertError, quote, withOthers } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'
import { excerpt } from './excerpt.ts'

export type Path = readonly PropertyKey[]

interface Told {
  readonly what: string
  readonly fact?: string
  readonly next?: string
}

/** A YAML text whose every value can be pointed at, and the problems that were found in it so far. */
export interface Source {
  /** Plain values; mappings are null-prototype objects. Of a key that is there twice, the first. */
  readonly value: unknown
  /** A problem at a value, or at its key. */
  problem(code: ErrorCode, path: Path, told: Told, at?: 'key' | 'value'): OnecertError
  /** Notes a problem; `tell` is called only for those that are shown. */
  report(code: ErrorCode, path: Path, tell: () => Told, at?: 'key' | 'value'): void
  /** The number of the line of a key, from 1. */
  lineOf(path: Path): number
  /** Throws the first problem, in the order of their lines, with the others behind it; returns where there is none. */
  refuse(): void
}

interface Problem {
  readonly code: ErrorCode
  readonly offset: number
  readonly tell: () => Told
}

interface Wildcard {
  readonly offset: number
  readonly name: string
}

const problemsShownMax = 20
/** A fleet file needs 8. The composer recurses: thousands would end its stack. */
const depthMax = 64
const aliasesMax = 100
const aliasedValuesMax = 10_000

/** Of the core schema; whatever else a reader may make of a tag, a fleet file needs none. */
const corePrefix = 'tag:yaml.org,2002:'
const harmlessTags = ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((each) => `${corePrefix}${each}`)

const state = 'nothing was done'

/**
 * Reads the YAML of a fleet file.
 * @throws OnecertError CONFIG_EMPTY, CONFIG_BINARY, CONFIG_MULTI_DOC, CONFIG_SYNTAX, CONFIG_QUOTE_WILDCARD, INPUT_TOO_LARGE,
 * and what else was found until then. CONFIG_DUPLICATE_KEY, CONFIG_TAG_FORBIDDEN and CONFIG_UNKNOWN_KEY are only reported.
 */
export function readSource(input: Uint8Array | string, file: string): Source {
  const text = decode(input, file)
  const lines = new LineCounter()
  lines.addNewLine(0)
  for (const { index } of text.matchAll(/\n/g)) lines.addNewLine(index + 1)
  const problems: Problem[] = []
  const report = (code: ErrorCode, offset: number, tell: () => Told) => void problems.push({ code, offset, tell })
  const lineOf = (offset: number) => lines.linePos(offset).line
  const problem = (code: ErrorCode, offset: number, told: Told) => {
    const { line, col } = lines.linePos(offset)
    const [start, end] = [lines.lineStarts[line - 1], lines.lineStarts[line]]
    const source = text.slice(start, end).replace(/\r?\n$/, '')
    return new OnecertError(code, { ...told, state, at: `${file}:${line}:${col}`, excerpt: excerpt(source, col) })
  }
  const stop: Stop = (offset, told) => {
    throw problem('CONFIG_SYNTAX', offset, told)
  }
  const refuse = () => {
    const sorted = problems.toSorted((left, right) => left.offset - right.offset)
    const shown = sorted.slice(0, problemsShownMax)
    const [first, ...also] = shown.map(({ code, offset, tell }) => problem(code, offset, tell()))
    const [next, ...others] = sorted.slice(problemsShownMax)
    if (next) also.push(problem(next.code, next.offset, { what: `${1 + others.length} more problems begin here` }))
    if (first) throw withOthers(first, also)
  }

  const oldLineEnd = text.search(/\r(?!\n)/)
  if (oldLineEnd >= 0) {
    stop(oldLineEnd, {
      what: 'a carriage return (CR) without a line feed (LF)',
      fact: 'a line ends with LF, or with CR LF',
      next: 'save the file with line ends of Unix',
    })
  }
  const { tokens, wildcards } = parse(text, stop)
  const composer = new Composer({ uniqueKeys: false, version: '1.2', merge: false, logLevel: 'silent' })
  const [document, second] = composer.compose(tokens)
  if (!document || isEmpty(document)) empty(file)
  if (second) {
    throw problem('CONFIG_MULTI_DOC', second.range[0], {
      what: 'a second YAML document begins here; a fleet file has one',
    })
  }
  reportSyntax(document, wildcards, report)
  if (document.errors.length > 0) refuse()

  const aliases = resolveAliases(document)
  const reported = new Set(wildcards.map(({ offset }) => offset))
  for (const [alias, target] of aliases) {
    if (isNode(target) || reported.has(offsetIn(alias))) continue
    const name = quote(alias.source)
    const what =
      target === 'nothing' ? `the alias *${name} names no anchor` : `the alias *${name} lies inside what it names`
    report('CONFIG_SYNTAX', offsetIn(alias), () => ({ what }))
  }
  const unresolved = problems.length > 0
  reportTags(document, report)
  const values = readValues(aliases, { report, stop, lineOf })
  const value = values.of(document.contents)
  if (unresolved) refuse()

  const offsetOf = (path: Path, at: 'key' | 'value') => values.offsetOf(document.contents, path, at)
  return {
    value,
    problem: (code, path, told, at = 'value') => problem(code, offsetOf(path, at), told),
    report: (code, path, tell, at = 'value') => report(code, offsetOf(path, at), tell),
    lineOf: (path) => lineOf(offsetOf(path, 'key')),
    refuse,
  }
}

type Stop = (offset: number, told: Told) => never
type Report = (code: ErrorCode, offset: number, tell: () => Told) => void

function decode(input: Uint8Array | string, file: string): string {
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  if (bytes.length > inputBytesMax) {
    fail('INPUT_TOO_LARGE', {
      what: `${file} is too large`,
      fact: `${bytes.length} bytes, limit ${inputBytesMax}`,
      state,
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
    state,
    next: 'name the fleet file: onecert --fleet FILE …',
  })
}

function empty(file: string): never {
  fail('CONFIG_EMPTY', {
    what: `${file} is empty`,
    state,
    next: 'onecert init writes a commented one where there is none',
  })
}

function isEmpty({ contents, errors }: Document.Parsed): boolean {
  return errors.length === 0 && isScalar(contents) && contents.value === null
}

/**
 * The tokens of a text, within limits. `*.example.com` without quotes is an alias to YAML: the most likely mistake in this
 * file, and found here because as a key it makes no document.
 */
function parse(text: string, stop: Stop): { tokens: CST.Token[]; wildcards: Wildcard[] } {
  const parser = new Parser()
  const tokens: CST.Token[] = []
  const wildcards: Wildcard[] = []
  let aliases = 0
  let before = ''
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme.startsWith('*') && before !== CST.SCALAR) {
      const name = lexeme.replace(/:$/, '')
      if (/^\*(\.|$)/.test(name)) wildcards.push({ offset: parser.offset, name })
      else if (++aliases > aliasesMax) {
        stop(parser.offset, { what: 'aliases are used too often', fact: `at most ${aliasesMax} are resolved` })
      }
    }
    tokens.push(...parser.next(lexeme))
    if (parser.stack.length > depthMax)
      stop(parser.offset, { what: 'nested too deep', fact: `at most ${depthMax} levels are read` })
    before = lexeme
  }
  tokens.push(...parser.end())
  return { tokens, wildcards }
}

/** What YAML says behind a wildcard without quotes follows from it. */
function reportSyntax(document: Document.Parsed, wildcards: readonly Wildcard[], report: Report): void {
  const trusted = wildcards[0]?.offset ?? Number.POSITIVE_INFINITY
  const ambiguous = document.warnings.filter(({ code }) => code === 'BAD_ALIAS' || code === 'BAD_DIRECTIVE')
  for (const { message, pos } of [...document.errors, ...ambiguous]) {
    // Some messages end with a piece of the file, which may be a secret.
    const what = message.replace(/(characters|token|stream|document|header): .*/s, '$1')
    if (pos[0] < trusted) report('CONFIG_SYNTAX', pos[0], () => ({ what: quote(what, 200) }))
  }
  for (const { offset, name } of wildcards) {
    report('CONFIG_QUOTE_WILDCARD', offset, () => ({
      what: 'a wildcard needs quotes: to YAML a * begins an alias',
      next: `write "${quote(name)}"`,
    }))
  }
}

/** What each alias stands for: the last node before it that has the anchor. One that holds the alias itself has no value. */
function resolveAliases(document: Document.Parsed): Map<Alias, Node | 'nothing' | 'itself'> {
  const anchors = new Map<string, Node>()
  const aliases = new Map<Alias, Node | 'nothing' | 'itself'>()
  visit(document, {
    Node(_, node, path) {
      if (isAlias(node)) {
        const target = anchors.get(node.source)
        aliases.set(node, target && path.includes(target) ? 'itself' : (target ?? 'nothing'))
      } else if (node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return aliases
}

function reportTags(document: Document.Parsed, report: Report): void {
  visit(document, {
    Node(_, node) {
      const { tag } = node
      if (tag === undefined || harmlessTags.includes(tag)) return
      report('CONFIG_TAG_FORBIDDEN', offsetIn(node), () => ({
        what: `the tag ${quote(tag.replace(corePrefix, '!!'))} is not allowed`,
        next: 'write the plain value',
      }))
    },
  })
}

interface Values {
  of(node: Node | null): unknown
  /** The offset of a value (or its key) by its path; of the nearest thing around it where it is not there. */
  offsetOf(root: Node | null, path: Path, at: 'key' | 'value'): number
}

function readValues(
  aliases: ReadonlyMap<Alias, Node | string>,
  { report, stop, lineOf }: { report: Report; stop: Stop; lineOf: (offset: number) => number },
): Values {
  const resolved = (node: unknown) => (isAlias(node) ? aliases.get(node) : node)

  /** The pairs of a mapping by their key; what is wrong with the keys is reported once. */
  const pairs = new Map<YAMLMap, Map<string, Pair>>()
  function pairsOf(map: YAMLMap): Map<string, Pair> {
    const known = pairs.get(map)
    if (known) return known
    const found = new Map<string, Pair>()
    pairs.set(map, found)
    for (const pair of map.items) {
      const key = resolved(pair.key)
      const offset = offsetIn(pair.key)
      if (!isScalar(key)) {
        if (key !== 'nothing') report('CONFIG_SYNTAX', offset, () => ({ what: 'a mapping or list cannot be a key' }))
        continue
      }
      const name = String(key.value ?? '')
      const before = found.get(name)
      if (name === '__proto__')
        report('CONFIG_UNKNOWN_KEY', offset, () => ({ what: '"__proto__" cannot be a key or a name' }))
      else if (before) {
        report('CONFIG_DUPLICATE_KEY', offset, () => ({
          what: `the key "${quote(name)}" is here a second time`,
          fact: `the first is in line ${lineOf(offsetIn(before.key))}`,
          next: 'take one of them away',
        }))
      } else found.set(name, pair)
    }
    return found
  }

  let aliased = 0
  function of(node: unknown, depth: number, alias: Alias | null): unknown {
    if (alias && (++aliased > aliasedValuesMax || depth > depthMax)) {
      stop(offsetIn(alias), {
        what: 'aliases are used too often',
        fact: `together they stand for more than ${aliasedValuesMax} values, or ${depthMax} levels`,
      })
    }
    if (isAlias(node)) {
      const target = aliases.get(node)
      return isNode(target) ? of(target, depth, alias ?? node) : null
    }
    if (isMap(node)) {
      const bare: Record<string, unknown> = Object.create(null)
      for (const [name, { value }] of pairsOf(node)) bare[name] = of(value, depth + 1, alias)
      return bare
    }
    if (isSeq(node)) return node.items.map((item) => of(item, depth + 1, alias))
    return isScalar(node) ? node.value : null
  }

  return {
    of: (node) => of(node, 0, null),
    offsetOf(root, path, at) {
      let node: unknown = root
      let key: unknown
      for (const step of path) {
        const pair: Pair | undefined = isMap(node) ? pairsOf(node).get(String(step)) : undefined
        const next: unknown = pair ? (pair.value ?? pair.key) : isSeq(node) ? node.items[Number(step)] : undefined
        if (next === undefined) break
        node = next
        key = pair?.key
      }
      return offsetIn(isNode(key) && (at === 'key' || isMap(node)) ? key : node)
    },
  }
}

function offsetIn(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0
}
