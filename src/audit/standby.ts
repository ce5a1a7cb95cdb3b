import { type Finding, type Reason, reasons } from './finding.ts'

const stale: readonly Reason[] = ['never-copied', 'not-reloaded', 'old-certificate']

/**
 * What a standby serves, no client sees today; in the emergency for which it is there all of them do. Which step is missing
 * there, the sentence says.
 */
export function onStandby(found: Finding): Finding {
  if (!stale.includes(found.reason)) return found
  return {
    ...found,
    reason: 'standby-stale',
    severity: reasons['standby-stale'],
    what: `is a standby, and ${found.what}`,
  }
}
