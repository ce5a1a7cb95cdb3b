import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { traefik } from '../../src/services/traefik.ts'
import { writeCertificate } from './certificate.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import type { RunningService } from './service.ts'

export interface WatcherOptions extends Endpoint {
  readonly chain: string
  readonly key: string
}

const entry = new URL('watcher-process.ts', import.meta.url).pathname

/** Not Envoy itself: what watches files as it does. `watched`: its watched_directory. */
export async function startEnvoyLike(options: WatcherOptions & { readonly watched: string }): Promise<RunningService> {
  await mkdir(options.watched, { recursive: true })
  return start('envoy', options, await makeDirectory('envoy'), options.watched)
}

/** Not Traefik itself: what watches files as it does. */
export async function startTraefikLike(options: WatcherOptions): Promise<RunningService> {
  const directory = await makeDirectory('traefik')
  const watched = join(directory, 'dynamic')
  await mkdir(watched)
  const dynamic = join(watched, 'tls.yaml')
  await writeFile(dynamic, `tls: { certificates: [{ certFile: ${options.chain}, keyFile: ${options.key} }] }\n`)
  const { test, reload } = traefik({ kind: 'traefik', dynamic })
  return { ...(await start('traefik', options, directory, watched)), settings: { dynamic }, test, reload }
}

async function start(
  kind: 'envoy' | 'traefik',
  { chain, key, ...endpoint }: WatcherOptions,
  directory: string,
  watched: string,
): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(endpoint)
  const own = await writeCertificate(directory, ['default.lab.example'])
  const pidFile = join(directory, 'pid')
  const words = [kind, address, String(port), watched, chain, key, own.chain, own.key, pidFile]
  const argv = [process.execPath, entry, ...words] as const
  return {
    ...(await startProgram({ argv, address, port, directory, pidFile })),
    configuration: entry,
    test: [],
    reload: [],
    start: [],
  }
}
