import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OnecertError } from '../../src/base/errors.ts'
import { Secret } from '../../src/base/secret.ts'

const folder = join(import.meta.dirname, '../vectors/pki')

/** Inside the validity of all vectors but two. */
export const nowMs = Date.parse('2027-01-01T00:00:00Z')

export const passphrase = new Secret('correct horse')

export function vector(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, name)))
}

/** What was refused, and all that a person is told. Anything but an error of the catalogue passes through. */
export function refusal(act: () => unknown): { code: string; text: string } {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof OnecertError) return { code: thrown.code, text: textOf(thrown) }
    throw thrown
  }
  return { code: 'accepted', text: '' }
}

export function textOf(error: OnecertError): string {
  return `${error.message}\n${JSON.stringify(error)}`.replaceAll('\\"', '"')
}
