import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { jsonSchema } from '../../src/fleet/schema.ts'
import { fleetTemplate } from '../../src/fleet/template.ts'
import { good, spoilt } from './good.ts'

type Schema = Parameters<typeof z.fromJSONSchema>[0]

/** A reader of the JSON Schema alone, as an editor has it. Editors read patterns as Unicode; this reader does not. */
const editor = z.fromJSONSchema(
  JSON.parse(JSON.stringify(jsonSchema()).replaceAll('\\\\p{L}\\\\p{N}', 'A-Za-z0-9')) as Schema,
)

test('the schema for editors takes the good file and the template', () => {
  for (const text of [good, fleetTemplate()]) assert.equal(editor.safeParse(parseYaml(text)).error, undefined)
})

const refused: readonly (readonly [string, readonly [string, string]])[] = [
  ['an unknown key', ['\nservers:', '\ntagrets: {}\nservers:']],
  ['an unknown key below', ['location:', 'lokation:']],
  ['a newer version', ['version: 1', 'version: 2']],
  ['a missing section', ['\nsites:', '\nplaces:']],
  ['a port beyond the last', ['port: 8443', 'port: 65536']],
  ['an unknown service', ['service: nginx', 'service: nginz']],
  ['a wrong kind of value', ['dns: [eu-1, us-1]', 'dns: eu-1']],
]

for (const [what, change] of refused) {
  test(`the schema for editors marks ${what}`, () => {
    assert.equal(editor.safeParse(parseYaml(spoilt(...change))).success, false)
  })
}

test('the schema says what it is, and describes its keys', () => {
  const text = JSON.stringify(jsonSchema())
  assert.match(text, /"title":"onecert fleet file"/)
  assert.match(text, /"\$schema":"https:\/\/json-schema\.org\/draft\/2020-12\/schema"/)
  for (const described of ['host-key', 'known-hosts', 'directory', 'pkcs12']) {
    assert.match(text, new RegExp(`"${described}":\\{[^{}]*"description":"[^"]{10}`))
  }
})
