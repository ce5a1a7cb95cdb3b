import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { readBounded, writeDurably } from '../base/durable.ts'
import { inputBytesMax } from '../base/limits.ts'
import { parseFleet } from '../fleet/document.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { readSource } from '../fleet/source.ts'
import type { Settings } from './settings.ts'

export async function readFleetText({ fleetFile }: Settings): Promise<string> {
  return Buffer.from(await readBounded(resolve(fleetFile), { bytesMax: inputBytesMax })).toString('utf8')
}

/** What an edited fleet file says. @throws OnecertError CONFIG_*, NAME_* where it says something wrong */
export function parseFleetText(text: string, { fleetFile }: Settings): Fleet {
  return parseFleet(text, { file: fleetFile, directory: dirname(resolve(fleetFile)) })
}

/** In which line something is said; where it is not, the line of what is around it. @throws OnecertError CONFIG_* where it is no YAML */
export async function fleetLines(settings: Settings): Promise<(path: readonly string[]) => number> {
  return readSource(await readFleetText(settings), settings.fleetFile).lineOf
}

/** In one go, with the mode that it has. */
export async function writeFleetText(text: string, { fleetFile }: Settings): Promise<void> {
  const path = resolve(fleetFile)
  const { mode } = await stat(path)
  await writeDurably(path, Buffer.from(text), { mode: mode & 0o777 })
}
