import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory that goes with its scope. */
export interface Scratch extends AsyncDisposable {
  readonly path: string
  file(name: string): string
}

export async function scratch(): Promise<Scratch> {
  const path = await mkdtemp(join(tmpdir(), 'onecert-scratch-'))
  return {
    path,
    file: (name) => join(path, name),
    async [Symbol.asyncDispose]() {
      for (const each of await readdir(path, { recursive: true, withFileTypes: true })) {
        // Nothing can be taken out of a directory that was closed.
        if (each.isDirectory()) await chmod(join(each.parentPath, each.name), 0o700)
      }
      await rm(path, { recursive: true, force: true })
    },
  }
}
