/** Writing systems that appear in registered domain names; any other must be confirmed by a person. */
const scripts = [
  ...[
    'Latin',
    'Greek',
    'Cyrillic',
    'Armenian',
    'Hebrew',
    'Arabic',
    'Devanagari',
    'Bengali',
    'Gurmukhi',
    'Gujarati',
    'Oriya',
  ],
  ...[
    'Tamil',
    'Telugu',
    'Kannada',
    'Malayalam',
    'Sinhala',
    'Thai',
    'Lao',
    'Tibetan',
    'Myanmar',
    'Georgian',
    'Ethiopic',
  ],
  ...['Khmer', 'Mongolian', 'Thaana', 'Han', 'Hangul', 'Hiragana', 'Katakana', 'Bopomofo'],
]

/** UTS 39 section 5.2, "highly restrictive": the only mixtures that people write. */
const mixtures = [
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Bopomofo'],
  ['Latin', 'Han', 'Hangul'],
]

const only = (names: readonly string[]) =>
  new RegExp(`^[${names.map((name) => `\\p{scx=${name}}`).join('')}\\p{scx=Common}\\p{scx=Inherited}]*$`, 'u')

const allowed = [...scripts.map((name) => [name]), ...mixtures].map(only)
const single = scripts.map((name) => ({ name, pattern: new RegExp(`\\p{scx=${name}}`, 'u') }))

/** Scripts that one label mixes in a way that nobody writes (`exаmple` with a Cyrillic а); empty where it does not. */
export function mixedScripts(label: string): string[] {
  if (allowed.some((pattern) => pattern.test(label))) return []
  const found = single.filter(({ pattern }) => pattern.test(label)).map(({ name }) => name)
  return found.length > 1 ? found : [...found, 'a script that is rare in names']
}
