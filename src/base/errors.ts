import { catalogue, type ErrorCode } from './catalogue.ts'

/** What a failure tells a person. Texts never carry key material; quoted input is cut with {@link quote}. */
export interface Failure {
  /** What failed, with the name that the user typed: one line, no full stop. */
  readonly what: string
  /** The measured fact; both sides of a comparison. */
  readonly fact?: string
  /** The state now: "nothing was changed on web-3". */
  readonly state?: string
  /** The next command, or the next thing to do. */
  readonly next?: string
  /** Where in an input: `fleet.yaml:4:7`. */
  readonly at?: string
  /** The line of the input with a caret below it; never one that may hold a secret. */
  readonly excerpt?: string
  /** Further failures of the same input: all are reported at once. */
  readonly also?: readonly OnecertError[]
  readonly cause?: unknown
}

/** The only error that rooms throw on purpose. Anything else that surfaces is a defect and shown as INTERNAL. */
export class OnecertError extends Error {
  readonly code: ErrorCode
  readonly failure: Failure

  constructor(code: ErrorCode, failure: Failure) {
    super(failure.what, { cause: failure.cause })
    this.name = 'OnecertError'
    this.code = code
    this.failure = failure
  }

  get exit(): number {
    return catalogue[this.code].exit
  }

  get retryable(): boolean {
    return 'retryable' in catalogue[this.code]
  }

  toJSON(): Record<string, unknown> {
    const { what, fact, state, next, at, excerpt, also } = this.failure
    return { code: this.code, what, fact, state, next, at, excerpt, also: also?.map((each) => each.toJSON()) }
  }
}

/** Throws; returns never, so that it can stand where a value is expected. */
export function fail(code: ErrorCode, failure: Failure): never {
  throw new OnecertError(code, failure)
}

/** The same failure told in other words, or in more of them; the first telling is its cause. */
export function retold(error: OnecertError, words: Omit<Partial<Failure>, 'cause'>): OnecertError {
  return new OnecertError(error.code, { ...error.failure, ...words, cause: error })
}

/** Several failures as one: the first, with the others beside it. */
export function withOthers(first: OnecertError, others: readonly OnecertError[]): OnecertError {
  return others.length === 0 ? first : retold(first, { also: [...(first.failure.also ?? []), ...others] })
}

/** Anything that was thrown, as an error of the catalogue. */
export function asOnecertError(thrown: unknown): OnecertError {
  if (thrown instanceof OnecertError) return thrown
  return new OnecertError('INTERNAL', {
    what: 'a defect in onecert',
    fact: quote(withoutKeys(textOf(thrown)), 200),
    next: 'run the command again with --debug and report what it prints',
    cause: thrown,
  })
}

/** What it says; never throws. It may hold anything: see {@link asOnecertError}. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown)
  } catch {
    return 'an object without a text was thrown'
  }
}

/** The code of an error of Node or of the system, such as `ENOENT`; empty: it has none. */
export function systemCode(thrown: unknown): string {
  const has = typeof thrown === 'object' && thrown !== null && 'code' in thrown
  return has && typeof thrown.code === 'string' ? thrown.code : ''
}

/** Nobody knows where the text of a defect came from: PEM blocks, and runs that may be Base64, hex or an age identity, go. */
function withoutKeys(text: string): string {
  return text
    .replace(/-----BEGIN [\s\S]*?(-----END [^-]*-----|$)/g, '[PEM]')
    .replace(/[A-Za-z0-9+/_=-]{32,}/g, (run) => `[${run.length} characters]`)
}

const quotedCharactersMax = 80

/**
 * Text from outside (certificates, servers, files), safe to print: control characters escaped, cut at `charactersMax`.
 * Never call it with something that may be a secret.
 */
export function quote(text: string, charactersMax = quotedCharactersMax): string {
  const inert = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0
    return point <= 0xff ? `\\x${point.toString(16).padStart(2, '0')}` : `\\u{${point.toString(16)}}`
  })
  const characters = [...inert]
  return characters.length <= charactersMax ? inert : `${characters.slice(0, charactersMax).join('')}…`
}
