import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { parse, stringify } from 'yaml'
import { parseFleet } from '../../src/fleet/document.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { onecert } from '../onecert.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const examples = globSync('examples/*.yaml', { cwd: root }).sort()
const pages = [
  ...globSync('docs/**/*.md', { cwd: root }).sort(),
  ...['README.md'].filter((file) => existsSync(join(root, file))),
]

function fleetOf(text: string, file: string): Fleet {
  return parseFleet(text, { file, directory: root })
}

/** `webroot`, `rfc2136`, … of the ACME issuers in a fleet file. */
function waysOf(file: string): string[] {
  const issuers = [...fleetOf(read(file), file).issuers.values()]
  return issuers.flatMap((each) =>
    each.kind === 'acme'
      ? [each.http01?.kind ?? [], each.dns01?.provider.kind ?? [], each.dnsPersist01 ? 'persist' : []].flat()
      : [],
  )
}

test('there is an example for each way in which a name is proved to an ACME CA', () => {
  assert.deepEqual([...new Set(examples.flatMap(waysOf))].sort(), [
    'acme-dns',
    'cloudflare',
    'exec',
    'listen',
    'persist',
    'rfc2136',
    'route53',
    'stateless',
    'webroot',
  ])
})

test('there is an example for each topology, and one with all three', () => {
  const kinds = (file: string) =>
    new Set([...fleetOf(read(file), file).sites.values()].map(({ topology }) => topology.kind))
  assert.deepEqual(Object.fromEntries(examples.map((file) => [file, [...kinds(file)].sort()])), {
    'examples/acme-dns-api.yaml': ['dns'],
    'examples/acme-dns-exec.yaml': ['dns'],
    'examples/acme-dns-persist.yaml': ['dns'],
    'examples/acme-dns-rfc2136.yaml': ['dns'],
    'examples/acme-http-01.yaml': ['dns'],
    'examples/acme-listen.yaml': ['reverse-proxy'],
    'examples/acme-stateless.yaml': ['dns'],
    'examples/all.yaml': ['dns', 'load-balancer', 'reverse-proxy'],
    'examples/dns.yaml': ['dns'],
    'examples/load-balancer.yaml': ['load-balancer'],
    'examples/reverse-proxy.yaml': ['reverse-proxy'],
    'examples/watch.yaml': ['dns'],
  })
})

test('the example of a topology shows what onecert may do around it: zones, a balancer that drains, a standby', () => {
  const of = (file: string) => {
    const { zones, sites } = fleetOf(read(file), file)
    return { zones: [...zones.keys()], topologies: [...sites.values()].map(({ topology }) => topology) }
  }
  assert.deepEqual(of('examples/dns.yaml').zones, ['domain.example'])
  for (const topology of of('examples/load-balancer.yaml').topologies)
    assert.ok(topology.kind === 'load-balancer' && topology.controls.length > 0)
  for (const topology of of('examples/reverse-proxy.yaml').topologies)
    assert.ok(topology.kind === 'reverse-proxy' && topology.standby.length > 0)
})

for (const file of examples) {
  test(`${file} passes onecert check`, async () => {
    const run = onecert(join(root, file), join(tmpdir(), 'onecert-no-state'))
    const { exit, stdout, stderr } = await run('check')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /is valid/)
  })

  test(`${file} has a comment above every block`, () => {
    const lines = read(file).split('\n')
    const bare = lines.filter((line, at) => /^[a-z]/.test(line) && !lines[at - 1]?.startsWith('# '))
    assert.deepEqual(bare, [])
  })

  test(`${file} has only addresses and names for documentation`, () => {
    const text = read(file)
    const addresses = text.match(/\b\d+\.\d+\.\d+\.\d+\b/g) ?? []
    // RFC 5737, RFC 2606
    assert.deepEqual(
      addresses.filter((address) => !/^(192\.0\.2|198\.51\.100|203\.0\.113)\./.test(address)),
      [],
    )
    const { certificates, sites } = fleetOf(text, file)
    const names = [...[...certificates.values()].flatMap((each) => each.names), ...sites.keys()]
    assert.deepEqual(
      names.filter((name) => !name.endsWith('.example')),
      [],
    )
  })
}

interface Block {
  readonly text: string
  /** `docs/fleet-file.md:30` */
  readonly place: string
}

function yamlBlocks(page: string): Block[] {
  const text = read(page)
  return [...text.matchAll(/^( *)```yaml\n([\s\S]*?)^\1```$/gm)].map((match) => ({
    text: (match[2] ?? '').replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
    place: `${page}:${text.slice(0, match.index).split('\n').length + 1}`,
  }))
}

const isWhole = ({ text }: Block) => text.startsWith('version:')

test('every whole fleet file in a page is accepted', () => {
  const whole = pages.flatMap(yamlBlocks).filter(isWhole)
  assert.ok(whole.length >= 2)
  for (const { text, place } of whole) assert.doesNotThrow(() => fleetOf(text, place), place)
})

test('every part of a fleet file is accepted when it is laid over the whole one of its page', () => {
  for (const page of pages) {
    const blocks = yamlBlocks(page)
    const whole = blocks.find(isWhole)
    if (!whole) continue
    let document: unknown = parse(whole.text)
    for (const part of blocks.filter((block) => !isWhole(block))) {
      document = laidOver(document, parse(part.text))
      assert.doesNotThrow(() => fleetOf(stringify(document), part.place), part.place)
    }
  }
})

function laidOver(below: unknown, above: unknown): unknown {
  if (above === null) return below
  if (!isMap(below) || !isMap(above)) return above
  const merged = Object.entries(above).map(([key, value]) => [key, laidOver(below[key], value)])
  return { ...below, ...Object.fromEntries(merged) }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
