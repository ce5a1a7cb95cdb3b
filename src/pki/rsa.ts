/** Rounds of Fermat's method. Primes that agree in more than their upper half are found in the first few. */
const fermatRounds = 100

/** OpenSSL itself refuses to work with larger ones (OPENSSL_RSA_MAX_MODULUS_BITS); our arithmetic would take minutes. */
const bitsMax = 16_384

/** Smallest exponent that CAs take (Baseline Requirements 6.1.6: "should be between 2^16+1 and 2^256-1"). */
const exponentMin = 65_537n

/**
 * Why an RSA public key must not be used, each as a sentence; empty where nothing was found.
 * Needs only the public part: modulus and exponent.
 */
export function rsaWeaknesses(modulus: bigint, exponent: bigint, bits: number): string[] {
  if (bits > bitsMax) return [`RSA ${bits} bits, maximum ${bitsMax}`]
  return [
    bits < 2048 && `RSA ${bits} bits, minimum 2048`,
    exponent === 1n && 'RSA public exponent is 1: nothing is encrypted or signed',
    exponent !== 1n && exponent % 2n === 0n && 'RSA public exponent is even',
    exponent > 1n &&
      exponent % 2n === 1n &&
      exponent < exponentMin &&
      `RSA public exponent is ${exponent}, minimum 65537`,
    modulus % 2n === 0n && 'RSA modulus is even',
    hasRocaFingerprint(modulus) && 'RSA key has the ROCA fingerprint (CVE-2017-15361): made by a defective chip',
    hasClosePrimes(modulus) && 'RSA primes are so close that the key can be factored in moments',
  ].filter((reason) => typeof reason === 'string')
}

/** Fermat: n = a² − b² with b small where the primes are near one another. */
export function hasClosePrimes(modulus: bigint): boolean {
  if (modulus < 4n || modulus % 2n === 0n) return false
  let a = squareRoot(modulus)
  if (a * a < modulus) a++
  for (let round = 0; round < fermatRounds; round++, a++) {
    const rest = a * a - modulus
    const b = squareRoot(rest)
    if (b * b === rest) return true
  }
  return false
}

const smallPrimes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
]

/**
 * Nemec et al., "The Return of Coppersmith's Attack" (2017), section 3: the defective library makes primes that are powers of
 * 65537 modulo each small prime, and so is their product. A sound key passes by chance once in 2^27.
 */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return smallPrimes.every((prime) => {
    const rest = Number(modulus % BigInt(prime))
    let power = 1
    do {
      if (power === rest) return true
      power = (power * 65_537) % prime
    } while (power !== 1)
    return false
  })
}

/** Newton's method from above: the floor of the root. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2))
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}
