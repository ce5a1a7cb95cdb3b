export interface Import {
  readonly specifier: string
  /** Of the specifier; the first line is 1. */
  readonly line: number
}

const blank = /(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)+/y
const string = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y
const word = /[\p{ID_Continue}$#]+/uy
const regularExpression = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y
/** Of a template literal: from the backtick or the end of a substitution to the next substitution or backtick. */
const templatePart = /[`}](?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y

/** After one of these a slash begins a regular expression; after any other word it divides. */
const beforeExpression = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'do',
  'else',
  'void',
  'delete',
  'throw',
  'await',
  'yield',
])

/**
 * The module specifiers of a TypeScript file: `import … from`, `import '…'`, `export … from`, `import('…')` and
 * `import('…').Type`. A dynamic import of something that is no plain string has no specifier.
 */
export function importsOf(text: string): Import[] {
  const found: Import[] = []
  let last = ''
  let beforeLast = ''
  for (const { token, at } of tokensOf(text)) {
    const isImport = last === 'import' || last === 'from' || (last === '(' && beforeLast === 'import')
    if (isImport && /^['"]/.test(token)) found.push({ specifier: token.slice(1, -1), line: lineAt(text, at) })
    beforeLast = last
    last = token
  }
  return found
}

/** Words, strings and signs; comments, regular expressions and the text of templates are passed over. */
function* tokensOf(text: string): Generator<{ token: string; at: number }> {
  /** Open braces; true for one that a template's `${` opened. */
  const braces: boolean[] = []
  let at = 0
  let last = ''
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  while (at < text.length) {
    const sign = text[at] ?? ''
    const space = take(blank)
    if (space !== undefined) {
      at += space.length
      continue
    }
    const isTemplate = sign === '`' || (sign === '}' && braces.pop() === true)
    if (sign === '{') braces.push(false)
    const template = isTemplate ? take(templatePart) : undefined
    if (template?.endsWith('{')) braces.push(true)
    const passedOver = template ?? (sign === '/' && !endsValue(last) ? take(regularExpression) : undefined)
    const token = passedOver ?? take(string) ?? take(word) ?? sign
    if (passedOver === undefined) yield { token, at }
    // A substitution begins like a bracket; a finished template or expression is a value.
    last = passedOver?.endsWith('${') ? '(' : passedOver === undefined ? token : ')'
    at += token.length
  }
}

function endsValue(token: string): boolean {
  return /[\p{ID_Continue}$)\]}'"]$/u.test(token) && !beforeExpression.has(token)
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
