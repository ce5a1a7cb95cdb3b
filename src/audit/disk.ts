import type { DiskFacts, FileFacts } from '../observe/disk.ts'
import { judgeClock } from './clock.ts'
import { type Desired, type DesiredGeneration, generationNumber } from './desired.ts'
import { type Finding, finding } from './finding.ts'

/** What lies on a server, judged. */
export interface DiskJudged {
  /** For people: `generation 8`. */
  readonly current: string
  /** The service is to read the newest generation, and its bytes are right. */
  readonly isNewest: boolean
  readonly findings: readonly Finding[]
}

/**
 * What lies on a server against what should. Pure.
 * @param waits its maintenance window is closed: an older generation is what it is meant to have
 */
export function judgeDisk(desired: Desired, server: string, facts: DiskFacts, waits = false): DiskJudged {
  const { certificate, newest } = desired
  const base = { certificate, server, repair: `onecert apply ${certificate} --server ${server}` }
  const findings: Finding[] = []
  const current = facts.files.filter(({ generation }) => generation === facts.current)
  const damaged = newest === null ? [] : current.filter((file) => isDamaged(file, newest, facts.told))
  const missing = missingIn(current)
  const number = generationNumber(facts.current)
  const sameNumber = newest !== null && number === newest.number
  // Where nothing can be read, the number alone tells it.
  const fits = sameNumber || current.some(({ hash }) => hash !== null && hash === newest?.chainHash)
  const isNewest = newest !== null && fits && damaged.length === 0 && missing.length === 0
  const lies = number === null ? 'nothing of this lineage' : `generation ${number}`
  const isOlder = newest !== null && number !== null && number < newest.number
  if (newest !== null && !isNewest && !(waits && isOlder)) {
    findings.push(
      finding(sameNumber ? 'damaged-file' : 'not-current', {
        ...base,
        place: facts.current,
        what: sameNumber ? 'holds the newest generation, and it is damaged' : 'does not have the newest generation',
        expected: `generation ${newest.number}`,
        disk: sameNumber ? [...damaged.map(({ file }) => file), ...missing].join(', ') : lies,
      }),
    )
  }
  const spkis = new Set(current.flatMap(({ spki }) => spki ?? []))
  if (newest !== null && sameNumber && spkis.size > 0 && !spkis.has(newest.spki)) {
    findings.push(
      finding('mixed-pair', {
        ...base,
        place: facts.current,
        what: 'the private key does not belong to the certificate beside it',
        expected: `key ${newest.spki.slice(0, 8)}`,
        disk: `key ${[...spkis].map((each) => each.slice(0, 8)).join(' ')}`,
      }),
    )
  }
  for (const { path, kind, hash } of facts.paths) {
    if (kind === 'ours' || facts.current === null) continue
    findings.push(
      finding('path-not-ours', {
        ...base,
        place: path,
        what:
          kind === 'missing'
            ? 'the configuration is said to name this path, and nothing is there'
            : 'somebody replaced the link to the current generation',
        expected: 'a link to the current generation',
        disk:
          kind === 'missing'
            ? 'nothing'
            : `a ${kind === 'link' ? 'link to elsewhere' : 'plain file'}, ${hash?.slice(0, 8) ?? 'unreadable'}`,
      }),
    )
  }
  findings.push(...judgeClock(desired, server, facts, number))
  return { current: lies, isNewest, findings }
}

/** A combined file holds both. */
function missingIn(files: readonly { readonly file: string }[]): string[] {
  const has = (wanted: string) => files.some(({ file }) => file === wanted || file === 'combined.pem')
  return [...(has('fullchain.pem') ? [] : ['no certificate']), ...(has('privkey.pem') ? [] : ['no private key'])]
}

/** Other certificates in it, or no key that openssl can read. What we cannot read ourselves is not judged. */
function isDamaged(
  { file, hash, spki }: FileFacts & { readonly file: string },
  { chainHash }: DesiredGeneration,
  told: boolean,
): boolean {
  if (hash === null) return false
  return (file !== 'privkey.pem' && hash !== chainHash) || (file !== 'fullchain.pem' && told && spki === null)
}
