import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fleetTemplate } from '../../src/fleet/template.ts'
import { parse, problemsOf } from './good.ts'

test('the fleet file that init writes is valid as it is', () => {
  assert.deepEqual(problemsOf(fleetTemplate()), [])
  const fleet = parse(fleetTemplate())
  assert.deepEqual(
    [...fleet.sites.values()],
    [{ name: 'www.domain.example', certificates: ['www'], topology: { kind: 'dns', servers: ['web-1'] } }],
  )
  assert.equal(fleet.issuers.get('internal')?.kind, 'local-ca')
})

/** The line of the template that holds a piece, with its `# ` taken away. */
function without(text: string, ...pieces: readonly string[]): string {
  return pieces.reduce((whole, piece) => {
    const line = whole.split('\n').find((each) => each.trimStart().startsWith('# ') && each.includes(piece))
    assert.ok(line, piece)
    return whole.replace(line, line.replace('# ', ''))
  }, text)
}

test('the examples in its comments are valid too', () => {
  const bought = without(fleetTemplate(), 'bought:', 'import: {').replace('issuer: internal', 'issuer: bought')
  assert.equal(parse(bought).issuers.get('bought')?.kind, 'import-pem')
  const kept = without(fleetTemplate(), 'kept:', 'watch:').replace('issuer: internal', 'issuer: kept')
  assert.equal(parse(kept).issuers.get('kept')?.kind, 'watch')
  const files = parse(without(fleetTemplate(), 'files: {')).servers.get('web-1')?.files.get('www')
  assert.deepEqual(files, { chain: '/etc/nginx/ssl/www.crt', key: '/etc/nginx/ssl/www.key' })
  assert.deepEqual(parse(without(fleetTemplate(), 'licence: {')).certificates.get('www')?.licence, { servers: 10 })
  const wildcard = fleetTemplate().replace('[www.domain.example]', '[www.domain.example, "*.domain.example"]')
  assert.deepEqual(problemsOf(wildcard), [])
})
