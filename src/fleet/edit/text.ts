import { isMap, isNode, isScalar, isSeq, type Node, type Pair, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml'
import { type Entry, entryLines, flowEntry } from '../entries.ts'
import type { Path } from './value.ts'

/** Only a proposal, as below. */
export function withEntries(text: string, section: string, entries: readonly Entry[]): string | null {
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

/** Only a proposal: the caller proves what it means. Null where it is not to be written by itself. */
export function withHostKey(text: string, server: string, value: string): string | null {
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

/** Only a proposal, as above: at the end of a list of plain words, in the style that it has. */
export function withItem(text: string, path: readonly string[], item: string): string | null {
  const list = nodeAt(text, path)
  if (!isSeq(list) || !list.range) return null
  const last = list.items.at(-1)
  if (!isNode(last) || !last.range) return null
  if (list.flow) {
    const [comma] = /^\s*,/.exec(text.slice(last.range[1], list.range[1])) ?? []
    const at = last.range[1] + (comma?.length ?? 0)
    return `${text.slice(0, at)}${comma ? ' ' : ', '}${item}${text.slice(at)}`
  }
  const start = text.lastIndexOf('\n', last.range[0]) + 1
  const [before = ''] = /^\s*-\s+/.exec(text.slice(start)) ?? []
  const next = text.indexOf('\n', last.range[1])
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n'
  if (next < 0) return `${text}${lineEnd}${before}${item}${lineEnd}`
  return `${text.slice(0, next + 1)}${before}${item}${lineEnd}${text.slice(next + 1)}`
}

/** Only a proposal. */
export function withoutItem(text: string, path: Path, at: number): string | null {
  const list = nodeAt(text, path)
  const item = isSeq(list) ? list.items[at] : undefined
  if (!isSeq(list) || !isNode(item) || !item.range) return null
  return list.flow
    ? withoutSpan(text, list, item.range[0], item.range[1])
    : withoutLines(text, item.range[0], item.range[1])
}

/** Only a proposal. */
export function takenOut(text: string, path: Path): string | null {
  const last = path.at(-1)
  return typeof last === 'number' ? withoutItem(text, path.slice(0, -1), last) : withoutEntry(text, path)
}

/** Only a proposal: an entry of a mapping, with the lines that are its own. */
export function withoutEntry(text: string, path: Path): string | null {
  const map = nodeAt(text, path.slice(0, -1))
  const pair = pairOf(map, String(path.at(-1)))
  if (!isMap(map) || !pair || !isNode(pair.key) || !isNode(pair.value) || !pair.key.range || !pair.value.range)
    return null
  const [start, end] = [pair.key.range[0], pair.value.range[1]]
  return map.flow
    ? withoutSpan(text, map, start, end)
    : withoutLines(text, start, start + text.slice(start, end).trimEnd().length)
}

/** Between brackets: with the comma behind it, or, of the last one, the comma before it. */
function withoutSpan(text: string, { range }: YAMLSeq | YAMLMap, start: number, end: number): string | null {
  if (!range) return null
  const [behind] = /^\s*,\s*/.exec(text.slice(end)) ?? []
  if (behind) return text.slice(0, start) + text.slice(end + behind.length)
  const [before = ''] = /,?\s*$/.exec(text.slice(range[0] + 1, start)) ?? []
  return text.slice(0, start - before.length) + (before.includes(',') ? '' : before) + text.slice(end)
}

/** From the begin of its first line to the end of its last one, a comment behind it too. */
function withoutLines(text: string, start: number, end: number): string {
  const first = text.lastIndexOf('\n', start) + 1
  const last = text.indexOf('\n', end)
  return text.slice(0, first) + (last < 0 ? '' : text.slice(last + 1))
}

function nodeAt(text: string, path: Path): Node | null {
  let node: unknown = parseDocument(text, { version: '1.2', merge: false, logLevel: 'silent' }).contents
  for (const step of path)
    node = typeof step === 'number' && isSeq(node) ? node.items[step] : pairOf(node, String(step))?.value
  return isNode(node) ? node : null
}
