import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
  return start('envoy', options, await makeDirectory('envoy'), options.watched, { test: [], reload: [] })
}

/** Not Traefik itself: what watches files as it does. */
export async function startTraefikLike(
  options: WatcherOptions,
): Promise<RunningService & { readonly dynamic: string }> {
  const directory = await makeDirectory('traefik')
  const watched = join(directory, 'dynamic')
  await mkdir(watched)
  const dynamic = join(watched, 'tls.yaml')
  await writeFile(dynamic, `tls: { certificates: [{ certFile: ${options.chain}, keyFile: ${options.key} }] }\n`)
  const commands = { test: ['/usr/bin/stat', '-c', '%n', dynamic], reload: ['/usr/bin/touch', '-c', dynamic] }
  return { ...(await start('traefik', options, directory, watched, commands)), dynamic }
}

async function start(
  kind: 'envoy' | 'traefik',
  { chain, key, ...endpoint }: WatcherOptions,
  directory: string,
  watched: string,
  commands: Pick<RunningService, 'test' | 'reload'>,
): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(endpoint)
  const own = await writeCertificate(directory, ['default.lab.example'])
  const pidFile = join(directory, 'pid')
  const words = [kind, address, String(port), watched, chain, key, own.chain, own.key, pidFile]
  const argv = [process.execPath, entry, ...words] as const
  return {
    ...(await startProgram({ argv, address, port, directory, pidFile })),
    configuration: entry,
    ...commands,
    start: [],
  }
}
