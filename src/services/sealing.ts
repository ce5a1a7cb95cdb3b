import { basename, dirname } from 'node:path/posix'

/** How a test is run with files that nothing else sees yet. */
export interface Sealing {
  /** Where no mount namespace can be had. Absent: it is not known which files are the configuration. */
  readonly onCopy?: OnCopy
}

interface OnCopy {
  /** The file or folder that is copied. */
  readonly configuration: string
  /** The test; it names files of the configuration by their whole paths. */
  readonly test: readonly string[]
}

/**
 * Only where the test is the software's own program: another one (a wrapper, `docker exec`) may look at other files than
 * those that a process there sees.
 * @param written the test of the fleet file
 * @param options.flag stands before the configuration file
 * @param options.standard the driver's own test, on a copy
 * @param options.includes the file may name others of its folder
 */
export function sealingOf(
  written: readonly string[] | undefined,
  options: {
    readonly programs: readonly string[]
    readonly flag: string
    readonly standard: OnCopy
    readonly includes: boolean
  },
): Sealing | null {
  if (written === undefined) return { onCopy: options.standard }
  if (!options.programs.includes(basename(written[0] ?? ''))) return null
  const at = written.indexOf(options.flag)
  const file = at > 0 ? written[at + 1] : undefined
  if (!file?.startsWith('/')) return {}
  const folder = dirname(file)
  // A folder at the top, such as /etc, is not the configuration of one service.
  const configuration = options.includes && dirname(folder) !== '/' && folder !== '/' ? folder : file
  return { onCopy: { configuration, test: written } }
}
