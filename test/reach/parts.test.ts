import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Purpose, type ReceiverSettings, receiverText } from '../../src/reach/receiver.ts'

const settings: ReceiverSettings = {
  directory: '/etc/onecert',
  test: ['nginx', '-t'],
  reload: ['nginx', '-s', 'reload'],
  start: [],
  keyFolders: ['/etc'],
  kind: 'nginx',
  dumps: { nginx: ['nginx', '-T'] },
  includes: {},
  includeNamed: false,
  lineages: [{ lineage: 'www', layout: 'pair', keyMode: '0600' }],
}
const purposes: readonly Purpose[] = ['rollout', 'removal', 'challenge', 'audit', 'configuration', 'balancer', 'enrol']

/** Only run where a variable says that another part has set something up. */
const guarded = ['give_back', 'fire', 'include_undo', 'hot_swap']

const functionsOf = (text: string) => [...text.matchAll(/^([a-z_]+)\(\) \{/gm)].map(([, name = '']) => name)
const withoutComments = (text: string) => text.replace(/^\s*#.*$/gm, '').replace(/'[^']*'/g, "''")
const calls = (text: string, name: string) =>
  new RegExp(
    `(?:^|[;&|({!]|\\bthen\\b|\\bdo\\b|\\belse\\b|in_time "[^"]*"|run|\\|\\|)\\s*${name}(?=\\s|$|[;)|&])`,
    'm',
  ).test(text)

test('whatever a receiver is sent along for, no function that it calls is left out', () => {
  const whole = functionsOf(receiverText(settings).text)
  for (const purpose of purposes) {
    const { text } = receiverText(settings, purpose)
    const here = new Set(functionsOf(text))
    const body = withoutComments(text)
    const missing = whole.filter((name) => !here.has(name) && !guarded.includes(name) && calls(body, name))
    assert.deepEqual(missing, [], purpose)
  }
})

test('each has the identity of the whole, and is shorter', () => {
  const whole = receiverText(settings)
  for (const purpose of purposes) {
    const { text, id } = receiverText(settings, purpose)
    assert.equal(id, whole.id)
    assert.ok(text.length < whole.text.length)
  }
  assert.notEqual(receiverText({ ...settings, reload: ['true'] }).id, whole.id)
})
