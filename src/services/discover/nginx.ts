import { dirname, resolve } from 'node:path'
import { type ConfigurationFile, type FoundFiles, type FoundSite, parseListen, splitFiles, unquoted } from './found.ts'

const depthMax = 20
const linesMax = 20_000

/** What `nginx -T` says, with each file that is included put where it is included. */
export function discoverNginx(lines: readonly string[]): FoundSite[] {
  const files = splitFiles(lines)
  const [root] = files
  if (!root) return []
  const servers: Block[] = []
  const stack: Block[] = []
  for (const line of included(root, files, dirname(root.path), 0).slice(0, linesMax)) {
    const text = line.trim()
    const opens = text.endsWith('{')
    const words = text
      .replace(/[{};]+$/, '')
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .map(unquoted)
    const [name = '', ...rest] = words
    if (text === '}') {
      stack.pop()
      continue
    }
    // A brace on a line of its own belongs to the word before it.
    if (text === '{' && stack.at(-1)?.open === false) {
      const waiting = stack.at(-1)
      if (waiting) waiting.open = true
      continue
    }
    if (opens || (words.length === 1 && ['server', 'http', 'stream', 'mail'].includes(name))) {
      const block: Block = { name, open: opens, directives: [], parent: stack.at(-1) ?? null }
      stack.push(block)
      if (name === 'server') servers.push(block)
      continue
    }
    if (words.length === 0) continue
    const block = stack.at(-1)
    // The names of a server may go on in the lines below.
    const last = block?.directives.at(-1)
    if (last?.[0] === 'server_name' && /^[*.a-z0-9]/.test(name) && name.includes('.') && !known.has(name))
      last.push(...words)
    else block?.directives.push([name, ...rest])
  }
  return servers.flatMap(siteOf)
}

const known = new Set(['listen', 'server_name', 'ssl_certificate', 'ssl_certificate_key', 'ssl', 'include'])

interface Block {
  readonly name: string
  open: boolean
  readonly directives: string[][]
  readonly parent: Block | null
}

/** What a server does not say itself, the block around it says for all. */
function valuesOf(block: Block | null, directive: string): string[] {
  for (let each = block; each !== null; each = each.parent) {
    const found = each.directives.filter(([name]) => name === directive)
    if (found.length > 0) return found.map(([, value = '']) => value)
  }
  return []
}

function siteOf(server: Block): FoundSite[] {
  const listens = server.directives
    .filter(([name, , ...words]) => name === 'listen' && words.includes('ssl'))
    .flatMap(([, where = '']) => parseListen(where, 443))
  const chains = valuesOf(server, 'ssl_certificate')
  const keys = valuesOf(server, 'ssl_certificate_key')
  const certificates = chains.flatMap((chain, at): FoundFiles[] => {
    const key = keys[at]
    return chain.startsWith('/') && key?.startsWith('/') ? [{ chain, key: key === chain ? null : key }] : []
  })
  if (listens.length === 0 || certificates.length === 0) return []
  const names = server.directives.filter(([name]) => name === 'server_name').flatMap(([, ...words]) => words)
  return [{ names, listens, certificates }]
}

function included(file: ConfigurationFile, all: readonly ConfigurationFile[], base: string, depth: number): string[] {
  if (depth > depthMax) return []
  const lines: string[] = []
  for (const line of file.lines) {
    const [, pattern] = /^\s*include\s+([^\s;]+)\s*;?\s*$/.exec(line) ?? []
    if (pattern === undefined) {
      lines.push(line)
      continue
    }
    const matches = globMatcher(resolve(base, unquoted(pattern)))
    for (const each of all) {
      if (each !== file && matches(each.path)) lines.push(...included(each, all, base, depth + 1))
      if (lines.length > linesMax) return lines
    }
  }
  return lines
}

/** `*` and `?` within one folder, as nginx takes them. */
function globMatcher(pattern: string): (path: string) => boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]')
  const expression = new RegExp(`^${source}$`)
  return (path) => expression.test(path)
}
