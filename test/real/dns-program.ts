import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BindKey, RunningBind } from './bind.ts'
import type { RunningPowerDns } from './powerdns.ts'

const examples = resolve(import.meta.dirname, '../../examples/dns')

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

/** examples/dns/lexicon as it is, but for the directory of its credentials; they are those of a PowerDNS. */
export async function lexiconProgram(directory: string, { apiUrl, apiKey }: RunningPowerDns): Promise<string> {
  const file = join(directory, 'lexicon')
  const config = join(directory, 'lexicon.d')
  const example = await readFile(join(examples, 'lexicon'), 'utf8')
  await writeFile(file, example.replace('config=/etc/onecert/lexicon', `config=${config}`), { mode: 0o755 })
  await mkdir(config, { recursive: true })
  const credentials = `auth_token: ${apiKey}\npdns_server: ${apiUrl}\n`
  await writeFile(join(config, 'lexicon_powerdns.yml'), credentials, { mode: 0o600 })
  return file
}
