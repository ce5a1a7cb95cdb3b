import { execFile } from 'node:child_process'
import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { accountIds } from './account.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import type { RunningService } from './service.ts'

const run = promisify(execFile)

export interface PostfixOptions extends Endpoint {
  readonly name: string
  /** Key, leaf, intermediates. */
  readonly keyFirst: string
}

const master = '/usr/lib/postfix/sbin/master'

/** A Postfix of its own, that only receives, and nothing: SMTP and submission with STARTTLS, and submissions. */
export async function startPostfix({ name, keyFirst, ...endpoint }: PostfixOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(endpoint)
  const [submission, submissions] = [await chooseEndpoint({ address }), await chooseEndpoint({ address })]
  const directory = await makeDirectory('postfix')
  const [etc, queue, data] = ['etc', 'queue', 'data'].map((each) => join(directory, each)) as [string, string, string]
  for (const each of [etc, queue, data]) await mkdir(each)
  const { uid, gid } = await accountIds('postfix')
  await chown(data, uid, gid)
  const configuration = join(etc, 'main.cf')
  const logFile = join(directory, 'log')
  await writeFile(
    configuration,
    `compatibility_level = 3.6
queue_directory = ${queue}
data_directory = ${data}
myhostname = ${name}
mydestination =
inet_interfaces = all
inet_protocols = ipv4
smtpd_tls_chain_files = ${keyFirst}
smtpd_tls_security_level = may
smtpd_relay_restrictions = reject
alias_maps =
alias_database =
notify_classes =
maillog_file = ${logFile}
maillog_file_prefixes = ${directory}
`,
  )
  await writeFile(
    join(etc, 'master.cf'),
    `${address}:${port} inet n - n - - smtpd
${address}:${submission.port} inet n - n - - smtpd
${address}:${submissions.port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
anvil unix - - n - 1 anvil
cleanup unix n - n - 0 cleanup
postlog unix-dgram n - n - 1 postlogd
proxymap unix - - n - - proxymap
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
`,
  )
  const postfix = ['/usr/sbin/postfix', '-c', etc] as const
  // It makes the folders of the queue.
  await run(postfix[0], [...postfix.slice(1), 'check'])
  const pidFile = join(queue, 'pid', 'master.pid')
  const argv = [master, '-c', etc, '-s'] as const
  return {
    ...(await startProgram({ argv, address, port, directory, pidFile, logFile })),
    configuration,
    test: [...postfix, 'check'],
    reload: [...postfix, 'reload'],
    // As "postfix start" ends; it would leave the folder out of the argv by which it is found at the end.
    start: [master, '-c', etc, '-w'],
    listeners: [{ port, starttls: 'smtp' }, { port: submission.port, starttls: 'smtp' }, { port: submissions.port }],
  }
}
