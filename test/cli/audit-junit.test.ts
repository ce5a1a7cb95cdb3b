import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { subject } from '../../src/audit/subject.ts'
import { junitOf } from '../../src/cli/audit/junit.ts'
import { audited, found, serverWith } from './audited.ts'

const ran = { startedMs: Date.parse('2026-11-25T03:00:00Z'), endedMs: Date.parse('2026-11-25T03:00:01.250Z') }
const schema = new URL('../vectors/junit/junit.xsd', import.meta.url).pathname

/** What xmllint says; throws where it does not take the document. */
function xmllint(xml: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('xmllint', ['--nonet', ...words, '-'], { input: xml, encoding: 'utf8' })
  assert.equal(status, 0, `${stderr}\n${xml}`)
  return stdout.trim()
}
const ask = (xml: string, path: string) => xmllint(xml, '--xpath', `string(${path})`)
const check = (xml: string) => xmllint(xml, '--noout', '--schema', schema)

test('a healthy fleet is a list of passed cases, one for each thing that was looked at', () => {
  const xml = junitOf(audited([...serverWith('eu-1'), ...serverWith('us-1')]), ran)
  check(xml)
  assert.equal(ask(xml, '/testsuites/@tests'), '4')
  assert.equal(ask(xml, 'count(//failure) + count(//error)'), '0')
  assert.equal(ask(xml, '/testsuites/@time'), '1.250')
  assert.equal(ask(xml, '//testsuite[2]/@name'), 'us-1')
  assert.equal(ask(xml, '//testsuite[2]/testcase[1]/@name'), 'the files of www')
})

test('a fleet without anything to look at is a document too', () => {
  check(junitOf(audited([]), ran))
})

test('a finding fails its case with the reason as type; what cannot be seen is an error; a notice passes', () => {
  const xml = junitOf(
    audited([
      ...serverWith('eu-1', {
        files: [found('mixed-pair', 'eu-1', { place: 'gen-0008' }), found('key-readable', 'eu-1', { place: '/k' })],
        served: [found('not-reloaded', 'eu-1', { expected: 'generation 8', repair: 'onecert apply www' })],
      }),
      ...serverWith('us-1', {
        files: [found('unreachable', 'us-1')],
        served: [found('waits-for-window', 'us-1')],
      }),
      subject('dns', { certificate: 'www', site: 'www.domain.example', findings: [] }),
    ]),
    ran,
  )
  check(xml)
  const suite = (name: string) => `//testsuite[@name='${name}']`
  assert.deepEqual(
    ['tests', 'failures', 'errors'].map((each) => ask(xml, `${suite('eu-1')}/@${each}`)),
    ['3', '3', '0'],
  )
  assert.equal(ask(xml, `${suite('eu-1')}/testcase[@name='the files of www']/failure/@type`), 'mixed-pair')
  assert.equal(
    ask(xml, `${suite('eu-1')}/testcase[@name='the files of www: key-readable /k']/failure/@type`),
    'key-readable',
  )
  const text = ask(xml, `${suite('eu-1')}/testcase[3]/failure`)
  assert.match(text, /^expected: generation 8$/m)
  assert.match(text, /^next: onecert apply www$/m)
  assert.equal(ask(xml, `${suite('us-1')}/testcase[1]/error/@type`), 'unreachable')
  assert.equal(ask(xml, `count(${suite('us-1')}/testcase[2]/*)`), '1')
  assert.match(ask(xml, `${suite('us-1')}/testcase[2]/system-out`), /waits-for-window it is/)
  assert.equal(ask(xml, `count(${suite('www.domain.example')}/testcase)`), '1')
  assert.deepEqual(
    ['tests', 'failures', 'errors'].map((each) => ask(xml, `/testsuites/@${each}`)),
    ['6', '3', '1'],
  )
})

test('whatever a server calls its files, the document is read as it was meant', () => {
  const place = '/etc/ü & "<key>"\u001b[31m\u0000\ud800\ufffe\r\n\tkey 鍵 🔑'
  const what = `a copy ${place}`
  const xml = junitOf(audited(serverWith('eu-1', { files: [found('key-elsewhere', 'eu-1', { place, what })] })), ran)
  check(xml)
  const read = '/etc/ü & "<key>"\\x1b[31m\\x00\\xd800\\xfffe\r\n\tkey 鍵 🔑'
  assert.equal(ask(xml, '//failure/@message'), `a copy ${read}`)
  assert.ok(ask(xml, '//failure').includes(`place: ${read}`))
})
