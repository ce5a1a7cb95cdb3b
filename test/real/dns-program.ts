import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BindKey, RunningBind } from './bind.ts'

export interface DnsProgram {
  readonly file: string
  calls(): Promise<readonly DnsCall[]>
}

export interface DnsCall {
  readonly words: string
  readonly name: string
  readonly zone: string
}

/** A program as `exec` calls it, which changes the zones of BIND with nsupdate and keeps what it was called with. */
export async function nsupdateProgram(directory: string, bind: RunningBind, key: BindKey): Promise<DnsProgram> {
  const file = join(directory, 'dns-program')
  const log = join(directory, 'dns-program.log')
  const text = `#!/bin/sh
for act; do :; done
printf '%s\\t%s\\t%s\\n' "$*" "$ONECERT_DNS_NAME" "$ONECERT_DNS_ZONE" >>${log}
[ "$act" = add ] || act=delete
nsupdate -k ${await bind.keyFile(key)} <<END
server ${bind.address} ${bind.port}
zone $ONECERT_DNS_ZONE.
update $act $ONECERT_DNS_NAME. 60 TXT "$ONECERT_DNS_VALUE"
send
END
`
  await writeFile(file, text, { mode: 0o755 })
  return {
    file,
    async calls() {
      const lines = (await readFile(log, 'utf8')).trimEnd().split('\n')
      return lines.map((line) => {
        const [words = '', name = '', zone = ''] = line.split('\t')
        return { words, name, zone }
      })
    },
  }
}
