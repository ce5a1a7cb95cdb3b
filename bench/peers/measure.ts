import { readFileSync } from 'node:fs'

/** Looks at one endpoint; SHA-256 of the leaf that it served. */
type Look = (address: string, port: number, name: string) => Promise<string>

/**
 * What each client of the bench does: `LIST PORT NAME WARM PROBES PARALLEL`. The probes of the warm-up are not counted. One
 * line of JSON at the end.
 */
export async function measure(look: Look): Promise<void> {
  const [list = '', port = '', name = '', warm = '', probes = '', parallel = ''] = process.argv.slice(2)
  const addresses = readFileSync(list, 'utf8').trim().split('\n')
  let leaf = ''
  let failed = 0
  const round = async (count: number) => {
    let next = 0
    const lane = async () => {
      while (next < count) {
        const address = addresses[next++ % addresses.length] ?? ''
        try {
          leaf = await look(address, Number(port), name)
        } catch {
          failed += 1
        }
      }
    }
    await Promise.all(Array.from({ length: Number(parallel) }, lane))
  }
  await round(Number(warm))
  const before = process.cpuUsage()
  const startedMs = performance.now()
  await round(Number(probes))
  const seconds = (performance.now() - startedMs) / 1_000
  const { user, system } = process.cpuUsage(before)
  const rssBytes = process.resourceUsage().maxRSS * 1_024
  console.log(
    JSON.stringify({ probes: Number(probes), failed, seconds, cpuSeconds: (user + system) / 1e6, rssBytes, leaf }),
  )
}
