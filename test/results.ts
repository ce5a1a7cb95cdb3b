import { inspect, stripVTControlCharacters } from 'node:util'

export interface FileResult {
  /** Relative to the root of the project. */
  readonly file: string
  /** Leaf tests; a suite and a test with subtests are not counted themselves. */
  readonly passed: number
  readonly failures: readonly Failure[]
  /** What the file printed, errors included; the end of it. */
  readonly output: string
  readonly durationMs: number
}

export interface Failure {
  readonly name: string
  readonly text: string
}

/** What node:test's run() emits, as far as it is read here. */
interface RunnerEvent {
  readonly type: string
  readonly data: {
    readonly name?: string
    readonly nesting?: number
    readonly skip?: string | boolean
    readonly todo?: string | boolean
    readonly message?: string
    readonly details?: { readonly type?: string; readonly error?: unknown }
  }
}

const outputCharactersMax = 20_000

/**
 * Counts the tests of one file.
 *
 * A failed suite is a failure of its own only where none of its tests failed (a hook did). node:test reports a file that
 * crashed, or that holds no test, as a test with the file's path as its name.
 */
export async function collect(
  events: AsyncIterable<RunnerEvent>,
  path: string,
): Promise<Pick<FileResult, 'passed' | 'failures' | 'output'>> {
  let passed = 0
  let output = ''
  const failures: Failure[] = []
  /** Tests (and failures below them) seen at each nesting since the last test one level higher. */
  const below: { tests: number; failed: number }[] = []

  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      output = (output + stripVTControlCharacters(data.message ?? '')).slice(-outputCharactersMax)
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const { name = '', nesting = 0, details } = data
    const children = below[nesting + 1] ?? { tests: 0, failed: 0 }
    below.length = nesting + 1
    const level = below[nesting] ?? { tests: 0, failed: 0 }
    below[nesting] = level
    const isLeaf = children.tests === 0 && details?.type !== 'suite'
    const reason = reasonToFail(type, data, { isFile: name === path, childFailed: children.failed > 0 })
    level.tests += 1
    level.failed += children.failed + (reason === null ? 0 : 1)
    if (reason !== null) failures.push({ name: name === path ? 'the file itself' : name, text: reason })
    else if (isLeaf && type === 'test:pass') passed += 1
  }
  return { passed, failures, output }
}

function reasonToFail(
  type: 'test:pass' | 'test:fail',
  { skip, todo, details }: RunnerEvent['data'],
  { isFile, childFailed }: { isFile: boolean; childFailed: boolean },
): string | null {
  if (skip !== undefined && skip !== false)
    return `skipped${typeof skip === 'string' && skip ? ` (${skip})` : ''}: nothing is skipped here`
  if (todo !== undefined && todo !== false)
    return `todo${typeof todo === 'string' && todo ? ` (${todo})` : ''}: nothing is left to do here`
  if (type === 'test:pass') return isFile ? 'holds no test' : null
  return childFailed ? null : explain(details?.error)
}

/** node:test wraps what a test threw; the cause is what a reader wants. */
function explain(error: unknown): string {
  const thrown = error instanceof Error && error.cause !== undefined ? error.cause : error
  if (typeof thrown === 'string') return thrown
  return stripVTControlCharacters(inspect(thrown, { depth: 4 }))
}
