import { z } from 'zod'
import { readDocument, timestampMs } from './document.ts'
import type { RenewalInfo } from './resources.ts'
import { type Answer, retryAfterMs } from './transport.ts'

const shape = z.object({
  suggestedWindow: z
    .object({ start: timestampMs, end: timestampMs })
    // RFC 9773 section 4.2: such an answer is as good as none.
    .refine(({ start, end }) => start < end, 'expected a window that ends after its start'),
  explanationURL: z.string().nullish(),
})

export function readRenewalInfo(answer: Answer, issuer: string, nowMs: number): RenewalInfo {
  const { suggestedWindow, explanationURL } = readDocument(answer, shape, { issuer, what: 'renewal information' })
  return {
    startMs: suggestedWindow.start,
    endMs: suggestedWindow.end,
    explanationUrl: explanationURL ?? null,
    retryAfterMs: retryAfterMs(answer, nowMs),
  }
}
