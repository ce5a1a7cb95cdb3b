import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '../../../src/base/catalogue.ts'
import { acmeProblemOf, type ProblemPlace, problemSchema, refusal } from '../../../src/issue/acme/problem.ts'
import { printed } from '../../base/refusals.ts'

const urn = 'urn:ietf:params:acme:error:'

function refusalFor(document: unknown, place: ProblemPlace = 'answer') {
  return refusal({ issuer: 'ca', asked: 'make an order', problem: problemSchema.parse(document), place })
}

const answers: readonly (readonly [string, string, ErrorCode])[] = [
  ['accountDoesNotExist', 'no account', 'ACME_ACCOUNT_UNKNOWN'],
  ['externalAccountRequired', 'who are you', 'ACME_EAB_REQUIRED'],
  ['userActionRequired', 'terms have changed', 'ACME_TERMS'],
  ['rateLimited', 'too many certificates', 'ACME_RATE_LIMITED'],
  ['caa', 'CAA record for a.example prevents issuance', 'ACME_CAA'],
  ['dns', 'DNS problem: looking up A for a.example: DNSSEC: DNSKEY Missing', 'ACME_DNSSEC'],
  ['dns', 'DNS problem: NXDOMAIN looking up A for a.example', 'ACME_NXDOMAIN'],
  ['connection', 'connection refused', 'ACME_CHALLENGE_FAILED'],
  ['tls', 'remote error: tls: no application protocol', 'ACME_CHALLENGE_FAILED'],
  ['incorrectResponse', 'the key authorization file was something else', 'ACME_CHALLENGE_FAILED'],
  ['rejectedIdentifier', 'policy forbids issuing for name', 'ACME_UNSUPPORTED_IDENTIFIER'],
  ['unsupportedIdentifier', 'no addresses', 'ACME_UNSUPPORTED_IDENTIFIER'],
  ['invalidProfile', 'no such profile', 'ACME_PROFILE_UNKNOWN'],
  ['unauthorized', 'Account is not valid, has status "deactivated"', 'ACME_ACCOUNT_DEACTIVATED'],
  ['unauthorized', 'this order is not yours', 'ACME_REFUSED'],
  ['malformed', 'what is this', 'ACME_REFUSED'],
  ['badCSR', 'key reused', 'ACME_REFUSED'],
  ['constructor', 'a type that is a name in every object', 'ACME_REFUSED'],
]
for (const [type, detail, code] of answers) {
  test(`${type}, ${detail}: ${code}`, () => {
    const error = refusalFor({ type: urn + type, detail, status: 403 })
    assert.equal(error.code, code)
    assert.equal(error.failure.fact, `403 ${type}: ${detail}`)
    assert.deepEqual(acmeProblemOf(error)?.problem, { type, detail, status: 403, subproblems: [] })
  })
}

test('in a challenge, unauthorized means that the CA saw something else', () => {
  const error = refusalFor(
    { type: `${urn}unauthorized`, detail: 'Invalid response from http://a.example' },
    'validation',
  )
  assert.equal(error.code, 'ACME_CHALLENGE_FAILED')
})

test('subproblems are told name by name; where all are of one kind, so is the whole', () => {
  const one = (type: string, value: string) => ({ type: urn + type, detail: 'no', identifier: { type: 'dns', value } })
  const error = refusalFor({
    type: `${urn}compound`,
    detail: 'several',
    subproblems: [one('caa', 'a.example'), one('caa', 'b.example'), 'nonsense'],
  })
  assert.equal(error.code, 'ACME_CAA')
  assert.deepEqual(
    error.failure.also?.map(({ code, failure }) => [code, failure.what, failure.fact]),
    [
      ['ACME_CAA', 'ca refuses a.example', 'caa: no'],
      ['ACME_CAA', 'ca refuses b.example', 'caa: no'],
    ],
  )
  const mixed = { type: `${urn}compound`, subproblems: [one('caa', 'a.example'), one('dns', 'b.example')] }
  assert.equal(refusalFor(mixed).code, 'ACME_REFUSED')
})

test('the time of a rate limit is in the message and can be read', () => {
  const problem = problemSchema.parse({ type: `${urn}rateLimited`, detail: 'slow down', status: 429 })
  const notBeforeMs = Date.parse('2026-11-25T10:00:00Z')
  const error = refusal({ issuer: 'ca', asked: 'make an order', problem, place: 'answer', notBeforeMs })
  assert.ok(error.retryable)
  assert.equal(error.failure.fact, '429 rateLimited: slow down; not before 2026-11-25T10:00:00.000Z')
  assert.equal(acmeProblemOf(error)?.notBeforeMs, notBeforeMs)
})

test('new terms are shown with their address', () => {
  const problem = problemSchema.parse({ type: `${urn}userActionRequired`, detail: 'agree first' })
  const termsUrl = 'https://ca.example/terms-2'
  const error = refusal({ issuer: 'ca', asked: 'make an order', problem, place: 'answer', termsUrl })
  assert.equal(error.failure.fact, 'userActionRequired: agree first; the terms: https://ca.example/terms-2')
})

test('texts of the CA are inert and cut, whatever they hold', () => {
  const rude = `\x1b]0;owned\x07\n\u202e${'x'.repeat(5000)}`
  const error = refusalFor({
    type: rude,
    detail: rude,
    subproblems: [{ type: rude, detail: rude, identifier: { type: 'dns', value: rude } }],
  })
  const text = printed(error)
  assert.doesNotMatch(text, /[\x1b\x07\u202e]/)
  assert.ok(text.length < 5000, text)
})

test('a problem without any member that it should have is told all the same', () => {
  for (const document of [{}, { type: 7, detail: null, status: 'x', subproblems: 'y' }]) {
    assert.equal(refusalFor(document).failure.fact, 'about:blank: the CA gives no reason')
  }
})
