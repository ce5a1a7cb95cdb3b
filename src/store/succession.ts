import { fail } from '../base/errors.ts'
import { day } from '../pki/text.ts'
import type { GenerationRow } from './store.ts'

type Wanted = Omit<GenerationRow, 'number'>

/**
 * A lineage goes forward only (I8): refuses the leaf of an older generation, and one of the newest's own key that began
 * and ends before it. Where the newest has not begun yet, a clock was wrong, and its dates are no measure.
 * @throws OnecertError CERT_OLDER
 */
export function checkSuccession(wanted: Wanted, known: GenerationRow | null, newest: GenerationRow | null): void {
  if (!newest) return
  if (known) {
    if (known.number < newest.number) refuse(wanted, newest, `generation ${known.number}`)
    return
  }
  const older = wanted.notBeforeMs < newest.notBeforeMs && wanted.notAfterMs < newest.notAfterMs
  const measured = newest.notBeforeMs <= wanted.createdAtMs
  if (older && measured && wanted.spki === newest.spki) refuse(wanted, newest, 'this one')
}

function refuse(wanted: Wanted, newest: GenerationRow, which: string): never {
  const lineage = wanted.lineage
  fail('CERT_OLDER', {
    what: `the certificate given for ${lineage} is older than the one it has`,
    fact: `${which} is valid ${dates(wanted)}; generation ${newest.number}, the newest, ${dates(newest)}`,
    state: `generation ${newest.number} stays; no server was touched`,
    next: `put the newer certificate back where issuer ${wanted.issuer} looks for it, or buy a new one; then: onecert apply`,
  })
}

function dates({ notBeforeMs, notAfterMs }: Pick<GenerationRow, 'notBeforeMs' | 'notAfterMs'>): string {
  return `${day(notBeforeMs)} to ${day(notAfterMs)}`
}
