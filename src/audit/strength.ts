import { nativeOf, type X509 } from '../pki/certificate.ts'
import { nameOf } from '../pki/chain.ts'
import { signatureDefects } from '../pki/defects.ts'
import { assessKey } from '../pki/key.ts'

const curveBitsMin = 256

/** Why the keys of what is served are no proof of anything any more, one sentence each; a root's own is no matter here. */
export function weakKeys(certificates: readonly X509[]): string[] {
  return certificates
    .filter((each, at) => at === 0 || !each.selfSigned)
    .flatMap((each) => {
      const weak = assessKey(nativeOf(each).publicKey).find(({ code }) => code === 'KEY_TOO_WEAK')?.failure.fact
      const fact = weak ?? smallCurve(each)
      return fact === null ? [] : [`${nameOf(each)}: ${fact}`]
    })
}

function smallCurve({ keyType }: X509): string | null {
  const bits = Number(/^ec-\D*(\d{3})/.exec(keyType)?.[1] ?? curveBitsMin)
  return bits < curveBitsMin ? `curve ${keyType.slice(3)} has ${bits} bits, minimum ${curveBitsMin}` : null
}

/** SHA-1 and MD5, in leaf and intermediates: nobody checks what a root says of itself. */
export function weakSignatures(certificates: readonly X509[]): string[] {
  return certificates.flatMap((each) =>
    signatureDefects(each).map(({ failure }) => `${nameOf(each)}: ${failure.fact ?? ''}`),
  )
}
