/**
 * Checks who imports whom in src/: `node tools/rooms.ts [root]`.
 *
 * Rooms stand in an order; a file imports from its own room and from the rooms before it, never from a room beside or
 * after its own, never from outside src/, and files never import each other in a circle.
 */
import { globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, resolve } from 'node:path'
import { type Import, importsOf } from './imports.ts'

/** Rooms on one line do not import one another. */
const order: readonly (readonly string[])[] = [
  ['base'],
  ['pki'],
  ['fleet'],
  ['dns'],
  ['vault', 'issue', 'reach', 'services', 'observe', 'store'],
  ['ledger'],
  ['audit', 'rollout'],
  ['actions'],
  ['cli', 'daemon', 'agent', 'lab'],
]

const levels = new Map(order.flatMap((rooms, level) => rooms.map((room) => [room, level] as const)))

interface Defect {
  readonly at: string
  readonly rule: string
}

function check(root: string): Defect[] {
  const files = globSync('src/**/*.ts', { cwd: root }).sort()
  const imports = new Map(files.map((file) => [file, localImports(root, file)] as const))
  return [...imports].flatMap(([file, all]) => judgeFile(file, all)).concat(circles(imports))
}

/** The imports of a file that name a path, with that path relative to the root. */
function localImports(root: string, file: string): Import[] {
  return importsOf(readFileSync(join(root, file), 'utf8'))
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier, line }) => ({ specifier: normalize(join(dirname(file), specifier)), line }))
}

function judgeFile(file: string, imports: readonly Import[]): Defect[] {
  const room = roomOf(file)
  const level = levels.get(room)
  if (level === undefined) return [{ at: `${file}:1`, rule: `${room || 'src'} is no room: ${order.flat().join(', ')}` }]
  return imports.flatMap(({ specifier, line }) => {
    const rule = ruleBroken(room, level, specifier)
    return rule === null ? [] : [{ at: `${file}:${line}`, rule }]
  })
}

function ruleBroken(room: string, level: number, imported: string): string | null {
  // package.json holds the version; anything else outside src is not published.
  if (imported === 'package.json') return null
  if (!imported.startsWith('src/')) return `src imports nothing from outside src: ${imported}`
  const other = roomOf(imported)
  if (other === room) return null
  const otherLevel = levels.get(other)
  if (otherLevel === undefined) return `${other || imported} is no room`
  if (otherLevel > level) return `${room} stands before ${other} and must not import it`
  if (otherLevel === level) return `${room} stands beside ${other} and must not import it`
  return null
}

/** `src/pki/chain.ts` is in pki; a file that lies in src itself is in no room. */
function roomOf(file: string): string {
  const parts = file.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ''
}

/** Each circle once, told from its first file (by name). */
function circles(imports: ReadonlyMap<string, readonly Import[]>): Defect[] {
  const found = new Map<string, Defect>()
  const done = new Set<string>()
  const path: string[] = []

  const visit = (file: string) => {
    const begin = path.indexOf(file)
    if (begin >= 0) return report(path.slice(begin))
    if (done.has(file)) return
    path.push(file)
    for (const { specifier } of imports.get(file) ?? []) visit(specifier)
    path.pop()
    done.add(file)
  }
  const report = (circle: readonly string[]) => {
    const first = [...circle].sort()[0] ?? ''
    const begin = circle.indexOf(first)
    const turned = [...circle.slice(begin), ...circle.slice(0, begin)]
    const next = turned[1] ?? first
    const line = imports.get(first)?.find(({ specifier }) => specifier === next)?.line ?? 1
    found.set(turned.join(), { at: `${first}:${line}`, rule: `a circle: ${[...turned, first].join(' → ')}` })
  }

  for (const file of imports.keys()) visit(file)
  return [...found.values()]
}

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'))
if (!statSync(join(root, 'src'), { throwIfNoEntry: false })?.isDirectory()) {
  console.error(`${root}: there is no src`)
  process.exit(1)
}
const defects = check(root)
for (const { at, rule } of defects) console.error(`${at}: ${rule}`)
if (defects.length > 0) process.exitCode = 1
