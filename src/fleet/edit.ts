import { isDeepStrictEqual } from 'node:util'
import { isMap, isNode, isScalar, isSeq, type Pair, parseDocument, type YAMLMap } from 'yaml'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { type Additions, addedSections, type Entry, entryLines, flowEntry } from './entries.ts'
import { readSource } from './source.ts'

const file = 'the fleet file'

/**
 * The fleet file with the host key of a server set, and every other byte as it was.
 * @throws OnecertError SERVER_UNKNOWN; CONFIG_BAD_VALUE where the server has another way to be known, or where this cannot be
 * written without changing something else; what `readSource` throws
 */
export function setHostKey(text: string, server: string, fingerprint: string): string {
  const wanted = readValue(text)
  const written = child(child(wanted, 'servers'), server)
  if (written === undefined) fail('SERVER_UNKNOWN', { what: `there is no server "${quote(server)}" in ${file}` })
  const other = ['known-hosts', 'local'].find((key) => child(written, key) !== undefined)
  if (other !== undefined) {
    fail('CONFIG_BAD_VALUE', {
      what: `the server "${quote(server)}" has "${other}": a "host-key" beside it would not be allowed`,
      state: 'nothing was changed',
      next: `take "${other}" away first`,
    })
  }
  const edited = withHostKey(text, server, JSON.stringify(fingerprint))
  if (isMapping(written)) written['host-key'] = fingerprint
  if (edited !== null && isDeepStrictEqual(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the host key of "${quote(server)}" cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: `write it by hand, at ${quote(server)}:  host-key: "${quote(fingerprint)}"`,
  })
}

/**
 * The fleet file with entries added at the end of their sections, and every other byte as it was.
 * @throws OnecertError IMPORT_EXISTS; CONFIG_BAD_VALUE where they cannot be written without changing something else; what
 * `readSource` throws
 */
export function addEntries(text: string, additions: Additions): string {
  const wanted = readValue(text)
  const there = addedSections.flatMap((section) =>
    (additions[section] ?? [])
      .filter(({ name }) => child(child(wanted, section), name) !== undefined)
      .map(({ name }) => `${section}.${name}`),
  )
  if (there.length > 0) {
    fail('IMPORT_EXISTS', {
      what: `${file} has ${there.length === 1 ? 'an entry of this name' : 'entries of these names'} already`,
      fact: there.map((each) => quote(each)).join(', '),
      state: 'nothing was changed',
      next: 'run it without --write, and copy what is missing by hand',
    })
  }
  let edited: string | null = text
  for (const section of addedSections) {
    const entries = additions[section] ?? []
    if (entries.length === 0) continue
    edited = edited === null ? null : withEntries(edited, section, entries)
    if (!isMapping(wanted)) continue
    const values = entries.map(({ name, value }) => [name, value])
    wanted[section] = { ...(isMapping(wanted[section]) ? wanted[section] : {}), ...Object.fromEntries(values) }
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the entries cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: 'run it without --write, and copy them by hand',
  })
}

/** What was read has mappings without a prototype. */
function sameMeaning(left: unknown, right: unknown): boolean {
  return left !== undefined && isDeepStrictEqual(structuredClone(left), structuredClone(right))
}

/** Only a proposal, as below. */
function withEntries(text: string, section: string, entries: readonly Entry[]): string | null {
  const { contents } = parseDocument(text, { version: '1.2', merge: false, logLevel: 'silent' })
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n'
  const lines = (indent: string) => entryLines(entries, indent).join(lineEnd)
  const pair = pairOf(contents, section)
  if (!pair) return `${text}${/\n$/.test(text) ? '' : lineEnd}${lineEnd}${section}:${lineEnd}${lines('  ')}${lineEnd}`
  const { key, value } = pair
  if (!isNode(key) || !key.range) return null
  if (isMap(value) && value.flow && value.range) {
    const close = value.range[1] - 1
    const written = text.slice(value.range[0], close).trimEnd()
    const comma = value.items.length > 0 && !written.endsWith(',') ? ', ' : ' '
    const at = value.range[0] + written.length
    return `${text.slice(0, at)}${comma}${entries.map(flowEntry).join(', ')} ${text.slice(close)}`
  }
  const first = isMap(value) ? value.items[0]?.key : undefined
  const start = isScalar(first) ? first.range?.[0] : undefined
  const indent = start === undefined ? '  ' : ' '.repeat(start - (text.lastIndexOf('\n', start - 1) + 1))
  const end = isMap(value) && value.range ? value.range[1] : key.range[1]
  // A comment at the end of the last line belongs to that line.
  const content = text.slice(0, end).trimEnd().length
  const next = text.indexOf('\n', content)
  if (next < 0) return `${text}${lineEnd}${lines(indent)}${lineEnd}`
  return `${text.slice(0, next + 1)}${lines(indent)}${lineEnd}${text.slice(next + 1)}`
}

function readValue(text: string): unknown {
  const source = readSource(text, file)
  source.refuse()
  return source.value
}

function readable(text: string): unknown {
  try {
    return readValue(text)
  } catch (error) {
    if (error instanceof OnecertError) return undefined
    throw error
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function child(value: unknown, key: string): unknown {
  return isMapping(value) ? value[key] : undefined
}

/** Only a proposal: the caller proves what it means. Null where it is not to be written by itself. */
function withHostKey(text: string, server: string, value: string): string | null {
  const { contents } = parseDocument(text, { version: '1.2', merge: false, logLevel: 'silent' })
  const map = pairOf(pairOf(contents, 'servers')?.value, server)?.value
  if (!isMap(map)) return null
  const hostKey = pairOf(map, 'host-key')
  return hostKey ? replaced(text, hostKey, value) : inserted(text, map, value)
}

function pairOf(map: unknown, key: string): Pair | undefined {
  return isMap(map) ? map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key) : undefined
}

function replaced(text: string, { key, value: old }: Pair, value: string): string | null {
  if (!isNode(key) || !isNode(old) || !key.range || !old.range) return null
  // The items of a list without brackets go together with the line end before them; its range ends behind the last one.
  const start = isSeq(old) && !old.flow ? text.indexOf(':', key.range[1]) + 1 : old.range[0]
  const written = text.slice(start, old.range[1]).trimEnd()
  if (written.includes('#')) return null
  return `${text.slice(0, start)}${text[start - 1] === ':' ? ' ' : ''}${value}${text.slice(start + written.length)}`
}

/** Before the key that follows `ssh`: at a place that a key already has, in the same style. */
function inserted(text: string, map: YAMLMap, value: string): string | null {
  const ssh = map.items.findIndex(({ key }) => isScalar(key) && key.value === 'ssh')
  const { key } = map.items[ssh + 1] ?? map.items[0] ?? {}
  const at = isScalar(key) ? key.range?.[0] : undefined
  if (at === undefined) return null
  const lineStart = text.lastIndexOf('\n', at - 1) + 1
  const between = map.flow
    ? ', '
    : `${text.slice(0, lineStart).endsWith('\r\n') ? '\r\n' : '\n'}${text.slice(lineStart, at)}`
  const hostKey = text[at] === '"' ? '"host-key"' : 'host-key'
  return `${text.slice(0, at)}${hostKey}: ${value}${between}${text.slice(at)}`
}
