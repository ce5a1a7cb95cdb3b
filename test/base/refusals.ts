import assert from 'node:assert/strict'
import { OnecertError } from '../../src/base/errors.ts'
import { renderError, type Terminal } from '../../src/cli/terminal.ts'

/** The error of the catalogue that an act ends with; anything else that is thrown passes through. */
export async function refusalOf(act: () => unknown): Promise<OnecertError> {
  try {
    await act()
  } catch (thrown) {
    if (thrown instanceof OnecertError) return thrown
    throw thrown
  }
  return assert.fail('it was accepted')
}

const plainTerminal: Terminal = {
  isTTY: false,
  columns: 100,
  out: () => {},
  err: () => {},
  style: (_, text) => text,
}

/** All that a person or a machine is shown of an error. */
export function printed(error: OnecertError): string {
  return `${renderError(error, plainTerminal)}\n${JSON.stringify(error)}`
}

/** A line of a stack, as V8 writes it. */
export const stackLine = /\n\s+at .+[:(]\d+|node:internal|\.ts:\d+:\d+\)/
