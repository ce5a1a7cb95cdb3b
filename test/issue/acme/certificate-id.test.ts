import assert from 'node:assert/strict'
import { test } from 'node:test'
import { certificateId } from '../../../src/issue/acme/certificate-id.ts'
import { parsePem } from '../../../src/pki/pem.ts'
import { refusalOf } from '../../base/refusals.ts'

/** RFC 9773 appendix A. */
const example = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`
const der = parsePem(example, { file: 'the example' })[0]?.der ?? new Uint8Array()

test('the certificate of RFC 9773 has the id that stands there', () => {
  assert.equal(certificateId(der), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')
})

test('a certificate without an authority key identifier, or what is none, has no id', async () => {
  // Another OID in the place of the extension's.
  const without = Buffer.from(Buffer.from(der).toString('hex').replace('0603551d23', '0603551d24'), 'hex')
  for (const bytes of [without, der.subarray(0, 40), Buffer.from('not DER')]) {
    assert.equal((await refusalOf(() => certificateId(new Uint8Array(bytes)))).code, 'PEM_DAMAGED')
  }
})
