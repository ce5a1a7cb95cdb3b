import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, makeDirectory, type Running, startProgram } from './running.ts'

/** Where a program is to listen, and a directory for what it needs. */
export interface Place {
  readonly address: string
  readonly port: number
  readonly directory: string
}

/** A TLS server that is no service but a command, such as `openssl s_server`. */
export async function startTlsProgram(
  name: string,
  argv: (place: Place) => readonly string[] | Promise<readonly string[]>,
): Promise<Running> {
  const { address, port } = await chooseEndpoint({})
  const directory = await makeDirectory(name)
  const pidFile = join(directory, 'pid')
  const run = join(directory, 'run')
  // It writes no pid file, but the shell that becomes it does. Its stdin stays open: some end with it.
  await writeFile(run, `#!/bin/sh\necho $$ >${pidFile}\nexec "$@" <${run}.in\n`)
  await chmod(run, 0o755)
  await writeFile(`${run}.in`, '')
  const words = await argv({ address, port, directory })
  return startProgram({ argv: [run, ...words], address, port, directory, pidFile })
}
