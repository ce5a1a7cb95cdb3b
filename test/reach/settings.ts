import type { ReceiverSettings } from '../../src/reach/receiver.ts'

/** A service whose commands do nothing. */
export const idleService: Omit<ReceiverSettings, 'directory' | 'lineages'> = {
  test: ['true'],
  reload: [],
  start: [],
  keyFolders: [],
  kind: 'nginx',
  dumps: {},
  includes: {},
  includeNamed: true,
}
