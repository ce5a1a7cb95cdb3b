import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { type Finding, reasons } from '../../src/audit/finding.ts'
import { sarifOf } from '../../src/cli/audit/sarif.ts'
import { readSource } from '../../src/fleet/source.ts'
import { audited, found, serverWith } from './audited.ts'

const ran = { startedMs: Date.parse('2026-11-25T03:00:00Z'), endedMs: Date.parse('2026-11-25T03:00:01Z') }

// SARIF 2.1.0, errata 01: the objects that we write, with what the standard says of each property.
const message = z.strictObject({ text: z.string().min(1), markdown: z.string().min(1).optional() })
const level = z.enum(['none', 'note', 'warning', 'error'])
const index = z.int().min(0)
const properties = z.record(z.string(), z.unknown())
const location = z.strictObject({
  // 3.4.3: a reference, with nothing in it that has to be escaped
  physicalLocation: z.strictObject({
    artifactLocation: z.strictObject({ uri: z.string().regex(/^[!-~]+$/) }),
    // GitHub wants it, of each result.
    region: z.strictObject({ startLine: z.int().min(1) }),
  }),
  logicalLocations: z
    .array(z.strictObject({ name: z.string(), kind: z.string(), fullyQualifiedName: z.string() }))
    .min(1),
})
const rule = z.strictObject({
  id: z.string().min(1),
  shortDescription: message,
  help: message,
  defaultConfiguration: z.strictObject({ level }),
})
const invocation = z.strictObject({
  executionSuccessful: z.boolean(),
  exitCode: z.int(),
  exitCodeDescription: z.string(),
  startTimeUtc: z.iso.datetime(),
  endTimeUtc: z.iso.datetime(),
  toolExecutionNotifications: z.array(
    z.strictObject({
      associatedRule: z.strictObject({ id: z.string(), index }),
      level,
      message,
      locations: z.array(location),
    }),
  ),
})
const result = z.strictObject({
  ruleId: z.string(),
  ruleIndex: index,
  level,
  message,
  locations: z.array(location).min(1),
  partialFingerprints: z.record(z.string(), z.string()),
  properties,
})
const log = z.strictObject({
  $schema: z.url(),
  version: z.literal('2.1.0'),
  runs: z
    .array(
      z.strictObject({
        tool: z.strictObject({
          driver: z.strictObject({ name: z.string().min(1), version: z.string(), rules: z.array(rule) }),
        }),
        automationDetails: z.strictObject({ id: z.string().endsWith('/') }),
        invocations: z.array(invocation).length(1),
        results: z.array(result),
      }),
    )
    .length(1),
})

const { lineOf } = readSource(
  `version: 1
certificates:
  www: { names: [www.domain.example], issuer: bought }
servers:
  eu-1: { ssh: root@eu-1.domain.example }
  us-1:
    ssh: root@us-1.domain.example
sites:
  www.domain.example: { certificate: www, dns: [eu-1, us-1] }
`,
  'onecert.yaml',
)

function run(findings: readonly Finding[], name = 'onecert.yaml') {
  const read = log.parse(
    JSON.parse(JSON.stringify(sarifOf(audited(serverWith('eu-1', { files: findings })), ran, { name, lineOf }))),
  )
  const [only] = read.runs
  assert.ok(only)
  return only
}

test('a healthy fleet: every rule, no result, and an execution that succeeded', () => {
  const { tool, results, invocations } = run([])
  assert.deepEqual(
    tool.driver.rules.map(({ id }) => id),
    Object.keys(reasons),
  )
  assert.deepEqual(results, [])
  assert.deepEqual([invocations[0]?.executionSuccessful, invocations[0]?.exitCode], [true, 0])
})

test('each reason is a result of its own rule, with the level of its severity', () => {
  const all = (Object.keys(reasons) as (keyof typeof reasons)[]).map((reason) => found(reason, 'eu-1'))
  const { tool, results } = run(all)
  assert.equal(results.length, all.length)
  for (const each of results) {
    const severity = reasons[each.ruleId as keyof typeof reasons]
    assert.equal(tool.driver.rules[each.ruleIndex]?.id, each.ruleId)
    assert.equal(each.level, { critical: 'error', warning: 'warning', notice: 'note' }[severity])
    assert.equal(tool.driver.rules[each.ruleIndex]?.defaultConfiguration.level, each.level)
  }
})

test('what could not be looked at: the execution did not succeed, and says what', () => {
  const { invocations, results } = run([found('unreachable', 'eu-1', { what: 'it does not answer' })])
  const [only] = invocations
  assert.deepEqual([only?.executionSuccessful, only?.exitCode], [false, 2])
  assert.match(only?.toolExecutionNotifications[0]?.message.text ?? '', /^eu-1: it does not answer\. Next: /)
  assert.equal(results.length, 1)
})

test('an alert is the same alert in the next run, although what is said of it changed; and no other one', () => {
  const print = (each: Finding) => run([each]).results[0]?.partialFingerprints['finding/v1']
  const first = print(found('not-reloaded', 'eu-1', { served: 'generation 6', what: 'once' }))
  assert.match(first ?? '', /^[0-9a-f]{64}$/)
  assert.equal(print(found('not-reloaded', 'eu-1', { served: 'generation 7', what: 'again' })), first)
  const others = [
    found('not-reloaded', 'us-1'),
    found('never-copied', 'eu-1'),
    found('not-reloaded', 'eu-1', { place: '192.0.2.12:443 (www.domain.example)' }),
    found('not-reloaded', 'eu-1', { site: 'shop.domain.example' }),
    found('not-reloaded', 'eu-1', { certificate: 'shop' }),
  ]
  assert.equal(new Set([first, ...others.map(print)]).size, 6)
})

test('it is shown at the fleet file, with the server, the address and the site', () => {
  const found1 = found('not-reloaded', 'eu-1', {
    site: 'www.domain.example',
    place: '192.0.2.11:443 (www.domain.example)',
  })
  const [at] = run([found1], 'my fleet/ü.yaml').results[0]?.locations ?? []
  assert.equal(at?.physicalLocation.artifactLocation.uri, 'my%20fleet/%C3%BC.yaml')
  assert.deepEqual(
    at?.logicalLocations.map(({ kind, name }) => `${kind} ${name}`),
    ['server eu-1', 'address 192.0.2.11:443 (www.domain.example)', 'site www.domain.example', 'certificate www'],
  )
  const [absolute] = run([found1], '/etc/onecert/onecert.yaml').results[0]?.locations ?? []
  assert.equal(absolute?.physicalLocation.artifactLocation.uri, 'file:///etc/onecert/onecert.yaml')
})

test('its line is that of the server in the fleet file, else of the site, else of the certificate; or of where it would stand', () => {
  const lineFor = (each: Finding) => run([each]).results[0]?.locations[0]?.physicalLocation.region.startLine
  const site = 'www.domain.example'
  const of = (server: string | null, more: Partial<Finding> = {}) =>
    lineFor(found('clock-wrong', '', { server, ...more }))
  assert.deepEqual([of('us-1', { site }), of('eu-1'), of(null, { site }), of(null), of('gone-1')], [6, 5, 9, 3, 4])
})
