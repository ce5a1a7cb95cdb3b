import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type JsonWebKey, verify } from 'node:crypto'
import { test } from 'node:test'
import { Secret } from '../../../src/base/secret.ts'
import { jwkOf, macJws, signBytes, signJws, thumbprint } from '../../../src/issue/acme/jws.ts'
import { generatePrivateKey, type KeyType } from '../../../src/pki/key.ts'
import { refusalOf } from '../../base/refusals.ts'

/** RFC 7515 appendix A.2. */
const rsa = {
  kty: 'RSA',
  e: 'AQAB',
  n:
    'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR' +
    'T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB' +
    'dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia' +
    'GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ',
  d:
    'Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46su' +
    'i395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4' +
    'qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB' +
    '4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ',
  p:
    '4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8' +
    'cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc',
  q:
    'uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t' +
    '62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc',
  dp:
    'BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCj' +
    'n12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0',
  dq:
    'h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnw' +
    'gjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU',
  qi:
    'IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93' +
    'IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U',
}
/** RFC 7515 appendix A.3. */
const ec = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  d: 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI',
}
const claims = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'

const keyOf = (key: JsonWebKey) => new Secret(createPrivateKey({ key, format: 'jwk' }))
const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown

test('a signature with RS256 is that of RFC 7515', () => {
  const signature = signBytes(keyOf(rsa), Buffer.from(`eyJhbGciOiJSUzI1NiJ9.${claims}`))
  assert.equal(
    signature.toString('base64url'),
    'cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU' +
      'Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d' +
      'O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig' +
      'cN_IoypGlUPQGe77Rw',
  )
})

test('a signature with ES256 has the form of the one in RFC 7515: what takes that one takes ours', () => {
  const input = Buffer.from(`eyJhbGciOiJFUzI1NiJ9.${claims}`)
  const theirs = 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q'
  const key = createPublicKey({ key: { kty: ec.kty, crv: ec.crv, x: ec.x, y: ec.y }, format: 'jwk' })
  for (const signature of [Buffer.from(theirs, 'base64url'), signBytes(keyOf(ec), input)]) {
    assert.equal(signature.length, 64)
    assert.ok(verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, signature))
  }
})

test('a thumbprint is that of RFC 7638, whatever the order of the members', () => {
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3' +
    'oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA' +
    'ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-' +
    'kEgU8awapJzKnqDKgw'
  assert.equal(thumbprint({ n, kty: 'RSA', e: 'AQAB' }), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
})

test('a JWK has the members of the public key that a thumbprint is made of, and no other', () => {
  assert.deepEqual(jwkOf(keyOf(ec)), { crv: 'P-256', kty: 'EC', x: ec.x, y: ec.y })
  assert.deepEqual(jwkOf(keyOf(rsa)), { e: 'AQAB', kty: 'RSA', n: rsa.n })
})

const algorithms: readonly (readonly [KeyType, string, string])[] = [
  ['ec-p256', 'ES256', 'sha256'],
  ['ec-p384', 'ES384', 'sha384'],
  ['rsa-2048', 'RS256', 'sha256'],
]
for (const [type, alg, hash] of algorithms) {
  test(`a key of type ${type} signs with ${alg}, header and payload as they were given`, () => {
    const key = generatePrivateKey(type)
    const jws = signJws(key, { nonce: 'n', url: 'https://ca.example/x' }, { wanted: 'ü' })
    assert.deepEqual(decode(jws.protected), { alg, nonce: 'n', url: 'https://ca.example/x' })
    assert.deepEqual(decode(jws.payload), { wanted: 'ü' })
    const input = Buffer.from(`${jws.protected}.${jws.payload}`)
    const publicKey = { key: createPublicKey(key.reveal()), dsaEncoding: 'ieee-p1363' } as const
    assert.ok(verify(hash, input, publicKey, Buffer.from(jws.signature, 'base64url')))
    assert.equal(signJws(key, {}, null).payload, '')
  })
}

test('a key of another type is refused', async () => {
  const key = new Secret(generateKeyPairSync('ed25519').privateKey)
  const error = await refusalOf(() => signJws(key, {}, null))
  assert.deepEqual(
    [error.code, error.failure.fact],
    ['KEY_UNSUPPORTED', 'its type is ed25519; ec-p256, ec-p384 and RSA keys can'],
  )
})

test('an external account is bound with HMAC-SHA-256: openssl computes the same', () => {
  const jws = macJws(new Secret<Uint8Array>(Buffer.from('0123456789abcdef')), { kid: 'k' }, { kty: 'EC' })
  assert.deepEqual(decode(jws.protected), { alg: 'HS256', kid: 'k' })
  const input = `${jws.protected}.${jws.payload}`
  const mac = execFileSync('openssl', ['dgst', '-sha256', '-hmac', '0123456789abcdef', '-binary'], { input })
  assert.equal(jws.signature, mac.toString('base64url'))
})
