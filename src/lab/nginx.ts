import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Software } from './program.ts'

/** What stands in an nginx.conf. */
export interface NginxConfiguration {
  readonly servers: readonly string[]
  readonly mainLines?: readonly string[]
  /** Each address that it listens at takes one of them. */
  readonly connectionsMax?: number
}

/** Writes an nginx.conf into a directory that becomes its prefix. */
export async function writeNginx(
  directory: string,
  { servers, mainLines = [], connectionsMax = 1_024 }: NginxConfiguration,
): Promise<Software> {
  const configuration = join(directory, 'nginx.conf')
  const pidFile = join(directory, 'nginx.pid')
  const logFile = join(directory, 'error.log')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  await writeFile(
    configuration,
    `worker_processes 1;
pid ${pidFile};
error_log ${logFile} notice;
${mainLines.join('\n')}
events { worker_connections ${connectionsMax}; }
http {
  access_log off;
${temporary.map((kind) => `  ${kind}_temp_path temp-${kind};`).join('\n')}
${servers.join('\n')}
}
`,
  )
  // -e: else it opens /var/log/nginx/error.log before it has read where its log is.
  const start = ['/usr/sbin/nginx', '-p', `${directory}/`, '-e', logFile, '-c', configuration] as const
  return {
    configuration,
    argv: [...start, '-g', 'daemon off;'],
    start,
    test: [...start, '-t'],
    reload: [...start, '-s', 'reload'],
    pidFile,
    logFile,
  }
}
