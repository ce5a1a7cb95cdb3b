import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Sold } from './authority.ts'

/** What was sold, and the certificate that signed it, as a client puts it down. */
export interface Delivery {
  readonly sold: Sold
  readonly intermediatePem: string
  /** From 1: a renewal has the next number. */
  readonly number: number
}

export interface Layout {
  readonly client: string
  /** The directory of one lineage, below the client's own one: what `watch` names. */
  readonly directory: string
  write(directory: string, delivery: Delivery): Promise<void>
}

const name = 'www.lab.example'
const secret = { mode: 0o600 }

/** certbot's files of one lineage, in the order in which it moves the links of live/. */
export const certbotKinds = ['cert', 'privkey', 'chain', 'fullchain'] as const
export type CertbotKind = (typeof certbotKinds)[number]

/**
 * As certbot 2.1 leaves a lineage: numbered files in archive/, links in live/. `live` is `…/live/NAME`; with `kinds` it was
 * stopped when it had moved these links.
 */
export async function writeCertbot(
  live: string,
  { sold, intermediatePem, number }: Delivery,
  kinds: readonly CertbotKind[] = certbotKinds,
): Promise<void> {
  const lineage = basename(live)
  const archive = join(dirname(dirname(live)), 'archive', lineage)
  await mkdir(archive, { recursive: true })
  await mkdir(live, { recursive: true })
  const texts: Record<CertbotKind, string> = {
    cert: sold.leafPem,
    privkey: sold.keyPem,
    chain: intermediatePem,
    fullchain: sold.leafPem + intermediatePem,
  }
  await writeFile(join(live, 'README'), 'This directory contains your keys and certificates.\n')
  for (const kind of certbotKinds) {
    const file = `${kind}${number}.pem`
    await writeFile(join(archive, file), texts[kind], kind === 'privkey' ? secret : {})
    if (!kinds.includes(kind)) continue
    await rm(join(live, `${kind}.pem`), { force: true })
    await symlink(`../../archive/${lineage}/${file}`, join(live, `${kind}.pem`))
  }
}

/** As certbot 2.1 writes renewal/NAME.conf. */
export function renewalText(directory: string, lineage: string, parameters: readonly string[]): string {
  return [
    '# renew_before_expiry = 30 days',
    'version = 2.1.0',
    `archive_dir = ${directory}/archive/${lineage}`,
    ...certbotKinds.map((kind) => `${kind} = ${directory}/live/${lineage}/${kind}.pem`),
    '',
    '# Options used in the renewal process',
    '[renewalparams]',
    ...parameters,
    '',
  ].join('\n')
}

export const layouts: readonly Layout[] = [
  { client: 'certbot', directory: `live/${name}`, write: (directory, delivery) => writeCertbot(directory, delivery) },
  {
    client: 'acme.sh',
    directory: `${name}_ecc`,
    async write(directory, { sold, intermediatePem }) {
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, `${name}.key`), sold.keyPem, secret)
      await writeFile(join(directory, `${name}.cer`), sold.leafPem)
      await writeFile(join(directory, 'ca.cer'), intermediatePem)
      await writeFile(join(directory, 'fullchain.cer'), sold.leafPem + intermediatePem)
      await writeFile(join(directory, `${name}.conf`), `Le_Domain='${name}'\nLe_Keylength='ec-256'\n`)
      await writeFile(
        join(directory, `${name}.csr`),
        '-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n',
      )
    },
  },
  {
    client: 'lego',
    directory: 'certificates',
    async write(directory, { sold, intermediatePem }) {
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, `${name}.key`), sold.keyPem, secret)
      await writeFile(join(directory, `${name}.crt`), sold.leafPem + intermediatePem)
      await writeFile(join(directory, `${name}.issuer.crt`), intermediatePem)
      await writeFile(join(directory, `${name}.json`), `{ "domain": "${name}" }\n`)
    },
  },
  {
    client: 'Caddy',
    directory: `certificates/acme-v02.api.letsencrypt.org-directory/${name}`,
    async write(directory, { sold, intermediatePem }) {
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, `${name}.key`), sold.keyPem, secret)
      await writeFile(join(directory, `${name}.crt`), sold.leafPem + intermediatePem)
      await writeFile(join(directory, `${name}.json`), `{ "sans": ["${name}"] }\n`)
    },
  },
  {
    client: 'dehydrated',
    directory: `certs/${name}`,
    async write(directory, { sold, intermediatePem, number }) {
      await mkdir(directory, { recursive: true })
      const texts = {
        privkey: sold.keyPem,
        cert: sold.leafPem,
        chain: intermediatePem,
        fullchain: sold.leafPem + intermediatePem,
      }
      for (const [kind, text] of Object.entries(texts)) {
        const file = `${kind}-${1_790_000_000 + number}.pem`
        await writeFile(join(directory, file), text, secret)
        await rm(join(directory, `${kind}.pem`), { force: true })
        await symlink(file, join(directory, `${kind}.pem`))
      }
    },
  },
  {
    client: 'Kubernetes',
    directory: 'tls',
    async write(directory, { sold, intermediatePem, number }) {
      const dated = `..2026_11_2${number}`
      await mkdir(join(directory, dated), { recursive: true })
      await writeFile(join(directory, dated, 'tls.crt'), sold.leafPem)
      await writeFile(join(directory, dated, 'tls.key'), sold.keyPem)
      await writeFile(join(directory, dated, 'ca.crt'), intermediatePem)
      await rm(join(directory, '..data'), { force: true })
      await symlink(dated, join(directory, '..data'))
      for (const file of ['tls.crt', 'tls.key', 'ca.crt']) {
        await rm(join(directory, file), { force: true })
        await symlink(`..data/${file}`, join(directory, file))
      }
    },
  },
  {
    client: 'a person, with one combined file',
    directory: 'haproxy',
    async write(directory, { sold, intermediatePem }) {
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, 'www.pem'), sold.keyPem + sold.leafPem + intermediatePem, secret)
    },
  },
]
