/** How far it has come; for a person who waits. */
export interface AuditProgress {
  readonly doing: string
  readonly done: number
  readonly of: number
}

export type OnAuditProgress = (progress: AuditProgress) => void
