import { quote } from '../base/errors.ts'

const charactersMax = 100

/** A line with a caret below the column (from 1), cut around it; never a line that may hold a secret. */
export function excerpt(line: string, column: number): string {
  if (mayHoldSecret(line)) return '(a line that may hold a secret is not shown)'
  const source = line.replaceAll('\t', ' ')
  const before = [...quote(source.slice(0, column - 1), Number.POSITIVE_INFINITY)]
  const head = before.length < charactersMax ? before : ['…', ...before.slice(-charactersMax / 2)]
  return `${head.join('')}${quote(source.slice(column - 1), charactersMax - head.length)}\n${' '.repeat(head.length)}^`
}

/** A passphrase, or key material: the header of its PEM or a piece of its base64. */
function mayHoldSecret(line: string): boolean {
  if (/pass(phrase|word)|secret|-----BEGIN [A-Z0-9 ]*PRIVATE KEY/i.test(line.replaceAll('passphrase-file', '')))
    return true
  const base64 = line.match(/[A-Za-z0-9+/]{24,}/g) ?? []
  // A line of PEM has 64, the last one less; a fingerprint of 43 never stands alone.
  const pieces = base64.filter((piece) => piece.length >= 64 || piece === line.replace(/^[\s"'-]+|[\s"'=]+$/g, ''))
  return pieces.some((piece) => /[A-Z]/.test(piece) && /[a-z]/.test(piece) && /\d/.test(piece))
}
