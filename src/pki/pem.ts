import { fail, quote } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'

/** One `-----BEGIN label-----` block. Content may be a private key: it never goes into a message. */
export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
  /** Line of BEGIN, from 1. */
  readonly line: number
  /** RFC 1421 header lines, such as `Proc-Type: 4,ENCRYPTED`. */
  readonly headers: readonly string[]
}

/** The name that the user typed; only for messages. */
export interface InputName {
  readonly file: string
}

const begin = /^-----BEGIN ([A-Z0-9 ]{1,64})-----$/
const end = /^-----END ([A-Z0-9 ]{1,64})-----$/
const base64 = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * All blocks of a text, in order (RFC 7468, lax parsing: BOM, CRLF, indentation and text around the blocks are accepted).
 * Fails with INPUT_TOO_LARGE, PEM_EMPTY, PEM_DAMAGED or PEM_BAD_BASE64; never quotes content.
 */
export function parsePem(text: string, { file }: InputName): PemBlock[] {
  const name = quote(file)
  if (text.length > inputBytesMax) {
    fail('INPUT_TOO_LARGE', { what: `${name} is too large`, fact: `more than ${inputBytesMax} bytes` })
  }
  if (text.trim() === '') {
    fail('PEM_EMPTY', {
      what: `${name} is empty`,
      fact: text.length === 0 ? `file ${name} has 0 bytes` : `file ${name} holds only blank lines`,
      next: 'check the path, and export the file again',
    })
  }
  const lines = text.split(/\r\n|\n|\r/).map((line) => line.replace(/^\uFEFF/, '').trim())
  const blocks: PemBlock[] = []
  for (let index = 0; index < lines.length; index++) {
    const label = begin.exec(lines[index] ?? '')?.[1]
    if (label === undefined) continue
    const last = nextMarker(lines, index + 1)
    blocks.push(readBlock(lines, index, last, label, file))
    index = last
  }
  if (blocks.length === 0) {
    fail('PEM_DAMAGED', {
      what: `${name} holds no PEM block`,
      fact: text.includes('-----BEGIN ')
        ? 'a BEGIN marker is there, but not alone on its line: the line breaks are missing or escaped'
        : 'no line reads -----BEGIN …-----',
      next: 'export it again as PEM (Base64)',
    })
  }
  return blocks
}

function nextMarker(lines: readonly string[], from: number): number {
  for (let index = from; index < lines.length; index++) {
    const line = lines[index] ?? ''
    if (end.test(line) || begin.test(line)) return index
  }
  return -1
}

function readBlock(lines: readonly string[], first: number, last: number, label: string, file: string): PemBlock {
  const line = first + 1
  const name = quote(file)
  if (last === -1 || end.exec(lines[last] ?? '')?.[1] !== label) {
    fail('PEM_DAMAGED', {
      what: `${name} holds a damaged ${label}`,
      fact:
        last === -1
          ? `BEGIN on line ${line} has no END; the file stops at line ${lines.length}: it is cut short`
          : `BEGIN ${label} on line ${line} is followed by another marker on line ${last + 1}`,
      next: 'export or copy the whole file again',
      at: `${name}:${line}`,
    })
  }
  const body = lines.slice(first + 1, last)
  const blank = body.indexOf('')
  const headers = body[0]?.includes(':') && blank !== -1 ? body.slice(0, blank) : []
  const content = body.map((text, offset) => (offset < headers.length ? '' : text.replaceAll(/[ \t]/g, '')))
  const bad = content.findIndex((text, offset) => {
    const padded = text.includes('=') && content.slice(offset + 1).some((after) => after !== '')
    return padded || !base64.test(text)
  })
  const digits = content.join('')
  if (bad !== -1 || digits.length % 4 !== 0) {
    const lastContent = content.findLastIndex((text) => text !== '')
    const badLine = first + 2 + (bad === -1 ? lastContent : bad)
    fail('PEM_BAD_BASE64', {
      what: `${name} holds a damaged ${label}`,
      fact:
        bad === -1
          ? `the Base64 text stops in the middle of a group on line ${badLine}: characters are missing`
          : `line ${badLine} is not Base64`,
      next: 'export or copy the whole file again',
      at: `${name}:${badLine}`,
    })
  }
  if (digits === '') {
    fail('PEM_EMPTY', {
      what: `${name} holds an empty ${label}`,
      fact: 'nothing between BEGIN and END',
      at: `${name}:${line}`,
    })
  }
  return { label, der: new Uint8Array(Buffer.from(digits, 'base64')), line, headers }
}

/** RFC 7468: 64 columns, exactly one newline at the end. */
export function writePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der.buffer, der.byteOffset, der.byteLength)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
