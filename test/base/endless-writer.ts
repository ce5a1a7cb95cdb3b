import { join } from 'node:path'
import { writeDurably } from '../../src/base/durable.ts'

const block = 16
const payloadBytes = 1024 * 1024

/** Every block of a payload is the same: a mix of two, or a part of one, shows. */
export function payload(number: number): Buffer {
  return Buffer.alloc(payloadBytes, `${String(number).padStart(block - 1, '0')}\n`)
}

export function isWhole(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes)
  const number = Number(text.subarray(0, block).toString())
  return Number.isInteger(number) && text.equals(payload(number))
}

export const writerFiles = ['a', 'b', 'c', 'd']

async function writeForEver(directory: string): Promise<never> {
  for (let number = 0; ; number++) {
    await Promise.all(writerFiles.map((name) => writeDurably(join(directory, name), payload(number), { mode: 0o600 })))
    process.stdout.write(`${number}\n`)
  }
}

if (import.meta.main) await writeForEver(process.argv[2] ?? '.')
