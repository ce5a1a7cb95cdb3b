import { z } from 'zod'
import type { ErrorCode } from '../../base/catalogue.ts'
import { OnecertError } from '../../base/errors.ts'
import { parseHostName } from '../../pki/names.ts'
import { formatDuration, parseDuration } from '../duration.ts'

export interface Refusal {
  readonly code?: ErrorCode
  readonly fact?: string
  readonly next?: string
}

export function refused(message: string, params: Refusal = {}) {
  return { message, params }
}

function isMapping(value: unknown): value is object {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** A rule about a whole mapping is judged though a value in it is wrong, but not where a key of it may be misspelt. */
const judgeable = {
  when: ({ value, issues }: z.core.ParsePayload) =>
    isMapping(value) && !issues.some(({ code, path }) => code === 'unrecognized_keys' && (path ?? []).length === 0),
}

export function rule(message: string, next?: string) {
  return { ...refused(message, next === undefined ? {} : { next }), ...judgeable }
}

export function given(...values: readonly unknown[]): number {
  return values.filter((value) => value !== undefined).length
}

export function duration(minMs: number, maxMs: number) {
  const refusal = refused(`is no duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`, {
    code: 'CONFIG_BAD_DURATION',
    next: 'write a number and a unit, such as 30d, 12h, 90m or 120s',
  })
  return z
    .custom<string>(
      (value) => {
        const ms = typeof value === 'string' ? parseDuration(value) : null
        return ms !== null && ms >= minMs && ms <= maxMs
      },
      { ...refusal, abort: false },
    )
    .transform((value) => parseDuration(value) ?? 0)
    .meta({ type: 'string', pattern: '^[0-9]+(ms|s|m|h|d)$' })
}

/** A key that a later version will have. */
export function reserved(message: string) {
  return z.never({ error: message }).optional()
}

const nameGrammar = /^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}$/

export const name = z
  .string()
  .regex(nameGrammar, 'is no name: lower-case letters, digits, ".", "_" and "-", at most 63')

/** Absolute, and of characters that need no quoting anywhere. */
export const serverPath = z
  .string()
  .regex(/^\/[A-Za-z0-9._/@+-]*$/, 'is no absolute path of letters, digits and . _ / @ + -')
  .refine((path) => !path.split('/').includes('..'), { message: 'must not hold ".."' })

export const startsWithTilde = refused('begins with "~", which is not expanded', { next: 'write the whole path' })

export const localPath = z
  .string()
  .min(1)
  .refine((path) => !path.startsWith('~'), startsWithTilde)

export const hostName = z.string().superRefine((text, context) => {
  try {
    parseHostName(text)
  } catch (error) {
    if (!(error instanceof OnecertError)) throw error
    const { code, failure } = error
    context.addIssue({ code: 'custom', message: failure.what, params: { ...failure, code } })
  }
})

const noAddress = 'is no IP address such as 192.0.2.11 or 2001:db8::7'

export const address = z.union([z.ipv4(noAddress), z.ipv6(noAddress)], noAddress)

/** One, or all that a machine has: IPv4 and IPv6. */
export const addresses = z.union([address, z.array(address).min(1).max(16)], 'is no IP address, nor a list of such')

export const port = z.int().min(1).max(65_535)

export const argv = z
  .union(
    [
      z.array(z.string().min(1)).min(1),
      z
        .string()
        .regex(
          /^[A-Za-z0-9._/@:=,+ -]+$/,
          'holds characters that only a shell understands; no shell runs it. Write a list: ["systemctl", "reload", "x"]',
        )
        .transform((text) => text.trim().split(/ +/)),
    ],
    'is no command: write a list of words',
  )
  .describe('a command: a list of words, or plain words; no shell runs it')

export const https = z.string().regex(/^https:\/\/[^\s/@]+(\/\S*)?$/, 'is no https:// URL')

export const hostAndPort = z
  .string()
  .regex(
    /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d{1,5}$/i,
    'is no address with a port such as 192.0.2.53:53 or [2001:db8::53]:53',
  )
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'has a port above 65535')
