import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** @throws Error where there is no such account */
export async function accountIds(name: string): Promise<{ readonly uid: number; readonly gid: number }> {
  const { stdout } = await run('getent', ['passwd', name])
  const [, , uid, gid] = stdout.split(':')
  return { uid: Number(uid), gid: Number(gid) }
}
