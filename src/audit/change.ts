import { type Finding, findingId, hides, isUnseen, type Reason } from './finding.ts'
import { type Subject, subjectId } from './subject.ts'

/** A finding, and since when it is known. */
export interface Standing {
  readonly finding: Finding
  readonly subject: string
  readonly sinceMs: number
}

/** By the identity of the finding; only what stands now, so that it does not grow. */
export type Known = ReadonlyMap<string, Standing>

export interface Change {
  readonly appeared: readonly Standing[]
  readonly gone: readonly Standing[]
  readonly known: Known
}

/** What the files of a server tell, whichever certificates it serves. */
const byFiles: readonly Reason[] = ['key-left', 'no-seat']

/**
 * What one audit found that the one before did not, and the other way round. Where something could not be looked at, or
 * only half of it, what was known of it has not gone: nobody has seen that. Pure.
 */
export function changeOf(before: Known, subjects: readonly Subject[], nowMs: number): Change {
  const known = new Map<string, Standing>()
  const appeared: Standing[] = []
  for (const subject of subjects) {
    for (const finding of subject.findings) {
      const id = findingId(finding)
      if (known.has(id)) continue
      const standing = { finding, subject: subjectId(subject), sinceMs: before.get(id)?.sinceMs ?? nowMs }
      known.set(id, standing)
      if (!before.has(id)) appeared.push(standing)
    }
  }
  const found = new Map(subjects.map((each) => [subjectId(each), each.findings]))
  const dark = new Set(
    subjects.filter(({ kind, findings }) => kind === 'files' && findings.some(isUnseen)).map(({ server }) => server),
  )
  const isHidden = ({ finding, subject }: Standing) =>
    found.get(subject)?.some((each) => hides(each, finding.reason)) ||
    (byFiles.includes(finding.reason) && dark.has(finding.server))
  const gone: Standing[] = []
  for (const [id, standing] of before) {
    if (known.has(id)) continue
    if (!isUnseen(standing.finding) && isHidden(standing)) known.set(id, standing)
    else gone.push(standing)
  }
  return { appeared, gone, known }
}
