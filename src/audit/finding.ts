/** How soon somebody has to act: clients fail, or will; something is not as it should be; good to know. */
export type Severity = 'critical' | 'warning' | 'notice'

/** Stable: pipelines and people refer to them. docs/guides/audit.md tells each. */
export const reasons = {
  'not-issued': 'critical',
  expired: 'critical',
  expiring: 'warning',
  revoked: 'critical',
  'never-copied': 'critical',
  'not-reloaded': 'critical',
  'old-certificate': 'critical',
  'old-process': 'critical',
  'standby-stale': 'critical',
  'other-certificate': 'critical',
  'mixed-answers': 'critical',
  'wrong-name': 'critical',
  'incomplete-chain': 'critical',
  'other-chain': 'warning',
  'chain-order': 'warning',
  'chain-foreign': 'warning',
  'chain-with-root': 'notice',
  'weak-key': 'critical',
  'weak-signature': 'critical',
  'weak-protocol': 'notice',
  'mixed-pair': 'critical',
  'damaged-file': 'critical',
  'not-current': 'warning',
  'path-not-ours': 'warning',
  'other-files': 'warning',
  'key-readable': 'critical',
  'key-unreadable': 'critical',
  'key-rights': 'warning',
  'key-elsewhere': 'warning',
  'key-on-upstream': 'critical',
  'key-left': 'warning',
  'no-seat': 'warning',
  'other-member': 'critical',
  'resumption-broken': 'warning',
  'address-not-ours': 'critical',
  'address-missing': 'warning',
  'name-servers-differ': 'warning',
  'tlsa-mismatch': 'critical',
  'caa-forbids': 'warning',
  'clock-wrong': 'warning',
  'not-yet-valid': 'warning',
  unreachable: 'warning',
  'waits-for-window': 'notice',
  'being-changed': 'notice',
} as const satisfies Record<string, Severity>

export type Reason = keyof typeof reasons

/** A judged difference between what should be, what is on disk and what is served. */
export interface Finding {
  readonly reason: Reason
  readonly severity: Severity
  readonly certificate: string
  readonly server: string | null
  readonly site: string | null
  /** `address:port`, or a path there. */
  readonly place: string | null
  /** One sentence. */
  readonly what: string
  /** What should be, what lies there, what a handshake showed; null: of no matter here, or not seen. */
  readonly expected: string | null
  readonly disk: string | null
  readonly served: string | null
  /** Of what could not be looked at: when it was last seen (ISO 8601); null: that is not known. */
  readonly since: string | null
  /** The command that repairs it, or what a person has to do. */
  readonly repair: string
}

type Found = Partial<Finding> & Pick<Finding, 'certificate' | 'what' | 'repair'>

export function finding(reason: Reason, found: Found): Finding {
  return {
    reason,
    severity: reasons[reason],
    server: null,
    site: null,
    place: null,
    expected: null,
    disk: null,
    served: null,
    since: null,
    ...found,
  }
}

/** What a rollout itself makes for a moment: also links at explicit paths, and other ticket keys than the next server's. */
const passing: readonly Reason[] = [
  'never-copied',
  'not-reloaded',
  'not-current',
  'old-certificate',
  'old-process',
  'standby-stale',
  'path-not-ours',
  'resumption-broken',
]

/** Where a rollout was under way while it was looked: what is older on a server is its next step, and no drift. */
export function whileChanging(found: Finding): Finding {
  if (!passing.includes(found.reason)) return found
  return {
    ...found,
    reason: 'being-changed',
    severity: reasons['being-changed'],
    what: `${found.what}; another onecert is at work on ${found.certificate}`,
    repair: 'wait until that has ended, then: onecert audit',
  }
}

/** Whether a finding says that nobody can see, at the same place, if another one is there still. */
export function hides({ reason }: Finding, other: Reason): boolean {
  if (reason === 'being-changed') return passing.includes(other)
  // The disk, which tells one from the other, could not be looked at.
  if (reason === 'old-certificate') return other === 'never-copied' || other === 'not-reloaded'
  return reason === 'unreachable'
}

/** web-2 before web-10. */
const asPeopleSort = new Intl.Collator('en', { numeric: true })

/** The worst first; then by server, so that what belongs together stands together. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  const rank = { critical: 0, warning: 1, notice: 2 }
  return findings.toSorted(
    (left, right) =>
      rank[left.severity] - rank[right.severity] || asPeopleSort.compare(left.server ?? '', right.server ?? ''),
  )
}

/** The same as long as it is there: for those who look again and again. */
export function findingId({ reason, certificate, server, site, place }: Finding): string {
  return JSON.stringify([reason, certificate, server, site, place])
}

/** 1: something is not as it should be; 2: nothing was seen to be wrong, and something could not be seen; 0: all is right. */
export function auditExit(findings: readonly Finding[]): 0 | 1 | 2 {
  const wrong = findings.filter(({ severity }) => severity !== 'notice')
  if (wrong.length === 0) return 0
  return wrong.every(isUnseen) ? 2 : 1
}

/** Neither good nor bad: nobody could look. */
export function isUnseen({ reason }: Finding): boolean {
  return reason === 'unreachable'
}
