import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import type { RunningService } from './service.ts'

export interface DovecotOptions extends Endpoint {
  readonly chain: string
  readonly key: string
}

/** IMAP and POP3 with STARTTLS, and IMAP in TLS. Nobody can log in. */
export async function startDovecot({ chain, key, ...endpoint }: DovecotOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(endpoint)
  const [imap, pop3] = [await chooseEndpoint({ address }), await chooseEndpoint({ address })]
  const directory = await makeDirectory('dovecot')
  const configuration = join(directory, 'dovecot.conf')
  const base = join(directory, 'run')
  await mkdir(base)
  const logFile = join(directory, 'log')
  await writeFile(
    configuration,
    `base_dir = ${base}
log_path = ${logFile}
protocols = imap pop3
listen = ${address}
ssl = yes
ssl_cert = <${chain}
ssl_key = <${key}
passdb {
  driver = static
  args = nologin=yes
}
service imap-login {
  inet_listener imap {
    port = ${imap.port}
  }
  inet_listener imaps {
    port = ${port}
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = ${pop3.port}
  }
  inet_listener pop3s {
    port = 0
  }
}
`,
  )
  const dovecot = ['/usr/sbin/dovecot', '-c', configuration] as const
  const argv = [...dovecot, '-F'] as const
  const pidFile = join(base, 'master.pid')
  return {
    ...(await startProgram({ argv, address, port, directory, pidFile, logFile })),
    configuration,
    test: ['/usr/bin/doveconf', '-c', configuration, '-n'],
    reload: ['/usr/bin/doveadm', '-c', configuration, 'reload'],
    start: [...dovecot],
    listeners: [{ port }, { port: imap.port, starttls: 'imap' }, { port: pop3.port, starttls: 'pop3' }],
  }
}
