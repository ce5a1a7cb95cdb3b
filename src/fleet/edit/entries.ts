import { fail, quote } from '../../base/errors.ts'
import { type Additions, addedSections } from '../entries.ts'
import { withEntries } from './text.ts'
import { child, file, isMapping, readable, readValue, sameMeaning } from './value.ts'

/**
 * The fleet file with entries added at the end of their sections, and every other byte as it was.
 * @throws OnecertError IMPORT_EXISTS; CONFIG_BAD_VALUE where they cannot be written without changing something else; what
 * `readSource` throws
 */
export function addEntries(text: string, additions: Additions): string {
  const wanted = readValue(text)
  const there = addedSections.flatMap((section) =>
    (additions[section] ?? [])
      .filter(({ name }) => child(child(wanted, section), name) !== undefined)
      .map(({ name }) => `${section}.${name}`),
  )
  if (there.length > 0) {
    fail('IMPORT_EXISTS', {
      what: `${file} has ${there.length === 1 ? 'an entry of this name' : 'entries of these names'} already`,
      fact: there.map((each) => quote(each)).join(', '),
      state: 'nothing was changed',
      next: 'run it without --write, and copy what is missing by hand',
    })
  }
  let edited: string | null = text
  for (const section of addedSections) {
    const entries = additions[section] ?? []
    if (entries.length === 0) continue
    edited = edited === null ? null : withEntries(edited, section, entries)
    if (!isMapping(wanted)) continue
    const values = entries.map(({ name, value }) => [name, value])
    wanted[section] = { ...(isMapping(wanted[section]) ? wanted[section] : {}), ...Object.fromEntries(values) }
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the entries cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: 'run it without --write, and copy them by hand',
  })
}
