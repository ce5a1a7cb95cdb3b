import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  finishedData,
  handshakeSecret,
  hmac,
  trafficKeys,
  trafficSecret,
  transcriptHash,
} from '../../../src/observe/tls/key-schedule.ts'
import { checkSignature } from '../../../src/observe/tls/signatures.ts'
import { suites13 } from '../../../src/observe/tls/suites.ts'

const hex = (...lines: readonly string[]) => Buffer.from(lines.join(''), 'hex')

/** RFC 8448 section 3, "Simple 1-RTT Handshake". */
const clientHello = hex(
  '010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302010000910000000b',
  '0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300260024001d0020',
  '99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e040305030603020308',
  '040805080604010501060102010402050206020202002d00020101001c00024001',
)
const serverHello = hex(
  '020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020c982',
  '8876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304',
)
const encryptedExtensions = hex('080000240022000a00140012001d00170018001901000101010201030104001c0002400100000000')
const certificate = hex(
  '0b0001b9000001b50001b0308201ac30820115a003020102020102300d06092a864886f70d01010b0500300e310c300a060355040313',
  '03727361301e170d3136303733303031323335395a170d3236303733303031323335395a300e310c300a0603550403130372736130819f',
  '300d06092a864886f70d010101050003818d0030818902818100b4bb498f8279303d980836399b36c6988c0c68de55e1bdb826d3901a24',
  '61eafd2de49a91d015abbc9a95137ace6c1af19eaa6af98c7ced43120998e187a80ee0ccb0524b1b018c3e0b63264d449a6d38e22a5fda',
  '430846748030530ef0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a8002c47428a6d35a8d88d79f7f1e3f0203010001a31a30183009',
  '0603551d1304023000300b0603551d0f0404030205a0300d06092a864886f70d01010b05000381810085aad2a0e5b9276b908c65f73a72',
  '67170618a54c5f8a7b337d2df7a594365417f2eae8f8a58c8f8172f9319cf36b7fd6c55b80f21a03015156726096fd335e5e67f2dbf102',
  '702e608ccae6bec1fc63a42a99be5c3eb7107c3c54e9b9eb2bd5203b1c3b84e0a8b2f759409ba3eac9d91d402dcc0cc8f8961229ac9187',
  'b42b4de10000',
)
const certificateVerify = hex(
  '0f000084080400805a747c5d88fa9bd2e55ab085a61015b7211f824cd484145ab3ff52f1fda8477b0b7abc90db78e2d33a5c141a078653',
  'fa6bef780c5ea248eeaaa785c4f394cab6d30bbe8d4859ee511f602957b15411ac027671459e46445c9ea58c181e818e95b8c3fb0bf327',
  '8409d3be152a3da5043e063dda65cdf5aea20d53dfacd42f74f3',
)
const exchanged = hex('8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d')
const serverSecret = 'b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38'

test('the key schedule is that of RFC 8448 section 3', () => {
  const handshake = handshakeSecret('sha256', exchanged)
  assert.equal(handshake.toString('hex'), '1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac')
  const hash = transcriptHash('sha256', [clientHello, serverHello])
  assert.equal(hash.toString('hex'), '860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8')
  const secret = trafficSecret('sha256', handshake, 's hs traffic', hash)
  assert.equal(secret.toString('hex'), serverSecret)
  const suite = suites13.get(0x1301)
  assert.ok(suite)
  const { key, iv } = trafficKeys(suite, secret)
  assert.equal(key.toString('hex'), '3fce516009c21727d0f2e4e86ee403bc')
  assert.equal(iv.toString('hex'), '5d313eb2671276ee13000b30')
})

test('so are the signature of the server and its Finished', () => {
  const upToCertificate = [clientHello, serverHello, encryptedExtensions, certificate]
  const { publicKey } = new X509Certificate(certificate.subarray(11, 11 + 0x1b0))
  const context = Buffer.from(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`)
  const signed = {
    version: 'TLSv1.3',
    keyKind: undefined,
    scheme: certificateVerify.readUInt16BE(4),
    content: Buffer.concat([context, transcriptHash('sha256', upToCertificate)]),
    signature: certificateVerify.subarray(8),
  } as const
  checkSignature(publicKey, signed)
  const other = Buffer.concat([context, transcriptHash('sha256', upToCertificate.slice(1))])
  assert.throws(() => checkSignature(publicKey, { ...signed, content: other }), { kind: 'unproven' })
  const hash = transcriptHash('sha256', [...upToCertificate, certificateVerify])
  assert.equal(
    finishedData('sha256', Buffer.from(serverSecret, 'hex'), hash).toString('hex'),
    '9b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7fffee5454b78f0718',
  )
})

test('HMAC is that of RFC 4231 section 4.3', () => {
  const [key, data] = [Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?')]
  assert.equal(
    hmac('sha256', key, data).toString('hex'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
  assert.equal(
    hmac('sha384', key, data).toString('hex'),
    'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
  )
})
