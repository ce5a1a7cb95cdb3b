import { handshake } from '../../src/observe/handshake.ts'
import { measure } from './measure.ts'

await measure(async (address, port, name) => {
  const { chain } = await handshake({ address, port, name }, { timeoutMs: 10_000 })
  return chain[0] ?? ''
})
