import { isDeepStrictEqual } from 'node:util'
import { isMap, isNode, isScalar, isSeq, type Node, type Pair, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import { parseHostName } from '../pki/names.ts'
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

/**
 * The fleet file with a server, and with it in the lists of sites; every other byte as it was. An entry that is there stays
 * as it is, where it says the same in all that is given; so does a list that has the server.
 * @param sites host names, in lower case
 * @throws OnecertError SERVER_EXISTS where the entry says something else; USAGE for a site that is not there; CONFIG_BAD_VALUE
 * where it cannot be written without changing something else; what `readSource` throws
 */
export function addServer(text: string, server: Entry, sites: readonly string[]): string {
  const wanted = readValue(text)
  const there = child(child(wanted, 'servers'), server.name)
  let edited: string | null = text
  if (there !== undefined) requireSame(server, there)
  else {
    edited = withEntries(text, 'servers', [server])
    if (isMapping(wanted)) wanted.servers = { ...childMap(wanted, 'servers'), [server.name]: server.value }
  }
  for (const site of sites) {
    const { path, servers } = serversOfSite(wanted, site)
    if (servers.includes(server.name)) continue
    edited = edited === null ? null : withItem(edited, path, server.name)
    servers.push(server.name)
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the server "${quote(server.name)}" cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: `write it by hand, below "servers" and in the list of each site:  ${quote(flowEntry(server), 400)}`,
  })
}

/**
 * The fleet file without a server, also in its sites; every other byte as it was, comments too.
 * @throws OnecertError SERVER_LAST where a site would have no server left; CONFIG_BAD_VALUE as above; what `readSource` throws
 */
export function removeServer(text: string, server: string): string {
  const wanted = readValue(text)
  let edited: string | null = text
  for (const site of Object.keys(childMap(wanted, 'sites'))) {
    const { path, servers } = serversOfSite(wanted, site)
    const at = servers.indexOf(server)
    if (at < 0) continue
    requireAnother(site, servers, server)
    edited = edited === null ? null : withoutItem(edited, path, at)
    servers.splice(at, 1)
  }
  for (const path of mentionsOf(wanted, server)) {
    const last = path.at(-1)
    edited = edited === null ? null : takenOut(edited, path)
    const parent = valueAt(wanted, path.slice(0, -1))
    if (Array.isArray(parent)) parent.splice(Number(last), 1)
    else if (isMapping(parent)) delete parent[String(last)]
  }
  if (child(child(wanted, 'servers'), server) !== undefined) {
    edited = edited === null ? null : withoutEntry(edited, ['servers', server])
    delete childMap(wanted, 'servers')[server]
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the server "${quote(server)}" cannot be taken out without changing something else in ${file}`,
    state: `${file} is as it was`,
    next: `take "${quote(server)}" out by hand: its entry below "servers", and its name in the sites`,
  })
}

/** @throws OnecertError SERVER_LAST */
export function requireAnother(site: string, servers: readonly string[], server: string): void {
  if (servers.some((each) => each !== server)) return
  fail('SERVER_LAST', {
    what: `${server} is the only server of ${quote(site)}`,
    state: 'nothing was changed',
    next: `add another server to it first (onecert server add), or take the site out of the fleet file`,
  })
}

function requireSame({ name, value }: Entry, there: unknown): void {
  const different = Object.keys(value).filter((key) => !sameMeaning(child(there, key), value[key]))
  if (different.length === 0) return
  const shown = different.map((key) => {
    const [was, given] = [child(there, key), value[key]].map((each) => quote(JSON.stringify(each) ?? 'absent', 120))
    return `${key}: ${was} there, ${given} given`
  })
  fail('SERVER_EXISTS', {
    what: `${file} has another server "${quote(name)}"`,
    fact: shown.join('; '),
    state: 'nothing was changed',
    next: 'leave these options away, or choose another name',
  })
}

const listsOfServers = [['dns'], ['load-balancer', 'servers'], ['reverse-proxy', 'servers']] as const

/** The list of the servers of a site as it was read, to be changed, and where it stands. */
function serversOfSite(wanted: unknown, site: string): { path: readonly string[]; servers: string[] } {
  const sites = childMap(wanted, 'sites')
  const key = Object.keys(sites).find((each) => each === site || hostNameOf(each) === site)
  const known = Object.keys(sites)
  const near = closest(site, known)
  if (key === undefined) {
    fail('USAGE', {
      what: `no site "${quote(site)}" in ${file}`,
      fact: near ? `did you mean "${quote(near)}"?` : `there is ${quote(known.slice(0, 10).join(', ') || 'none', 200)}`,
    })
  }
  for (const steps of listsOfServers) {
    const servers = steps.reduce<unknown>((value, step) => child(value, step), sites[key])
    if (Array.isArray(servers)) return { path: ['sites', key, ...steps], servers }
  }
  return { path: ['sites', key], servers: [] }
}

type Path = readonly (string | number)[]

/** Where sites name a server beside their lists: HAProxy's name for it, a standby, an upstream. What has nothing else goes whole. */
function mentionsOf(wanted: unknown, server: string): Path[] {
  return Object.entries(childMap(wanted, 'sites')).flatMap(([site, written]) => {
    const found: Path[] = []
    const control = child(child(written, 'load-balancer'), 'control')
    for (const [at, each] of (Array.isArray(control) ? control : [control]).entries()) {
      const members = child(child(each, 'haproxy'), 'members')
      if (child(members, server) === undefined || !isMapping(members)) continue
      const place = ['sites', site, 'load-balancer', 'control', ...(Array.isArray(control) ? [at] : []), 'haproxy']
      found.push([...place, 'members', ...(Object.keys(members).length > 1 ? [server] : [])])
    }
    const proxy = child(written, 'reverse-proxy')
    const standby = child(proxy, 'standby')
    const at = Array.isArray(standby) ? standby.indexOf(server) : -1
    if (Array.isArray(standby) && at >= 0)
      found.push(['sites', site, 'reverse-proxy', 'standby', ...(standby.length > 1 ? [at] : [])])
    const upstreams = child(proxy, 'upstreams')
    for (const [index, upstream] of (Array.isArray(upstreams) ? upstreams : []).entries())
      if (child(upstream, 'server') === server)
        found.push(['sites', site, 'reverse-proxy', 'upstreams', index, 'server'])
    return found
  })
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce(
    (inside, step) => (Array.isArray(inside) ? inside[Number(step)] : child(inside, String(step))),
    value,
  )
}

function hostNameOf(written: string): string | undefined {
  try {
    return parseHostName(written)
  } catch {
    return undefined
  }
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

/** The mapping at a key; an empty one where there is none. */
function childMap(value: unknown, key: string): Record<string, unknown> {
  const found = child(value, key)
  return isMapping(found) ? found : {}
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

/** Only a proposal, as above: at the end of a list of plain words, in the style that it has. */
function withItem(text: string, path: readonly string[], item: string): string | null {
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
function withoutItem(text: string, path: Path, at: number): string | null {
  const list = nodeAt(text, path)
  const item = isSeq(list) ? list.items[at] : undefined
  if (!isSeq(list) || !isNode(item) || !item.range) return null
  return list.flow
    ? withoutSpan(text, list, item.range[0], item.range[1])
    : withoutLines(text, item.range[0], item.range[1])
}

/** Only a proposal. */
function takenOut(text: string, path: Path): string | null {
  const last = path.at(-1)
  return typeof last === 'number' ? withoutItem(text, path.slice(0, -1), last) : withoutEntry(text, path)
}

/** Only a proposal: an entry of a mapping, with the lines that are its own. */
function withoutEntry(text: string, path: Path): string | null {
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
