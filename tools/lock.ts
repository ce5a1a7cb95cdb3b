/**
 * Completes package-lock.json: `node tools/lock.ts`, after every `npm install` that changes it.
 *
 * A registry mirror may lack the builds of a package for other platforms. npm then leaves them out of the lock file, and
 * `npm ci` refuses that file. What is added here has no integrity hash, and is never installed on a platform whose build
 * the mirror has.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface Locked {
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const file = new URL('../package-lock.json', import.meta.url)
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']

const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, Locked> }
const missing = Object.values(lock.packages).flatMap(({ dev, optionalDependencies = {} }) =>
  Object.entries(optionalDependencies)
    .filter(([name]) => lock.packages[`node_modules/${name}`] === undefined)
    .map(([name, version]) => [`node_modules/${name}`, platformBuild(name, version, dev)] as const),
)
const byName = (a: string, b: string) => a.localeCompare(b, 'en')
lock.packages = Object.fromEntries([...Object.entries(lock.packages), ...missing].toSorted(([a], [b]) => byName(a, b)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${missing.length} builds for other platforms added`)

function platformBuild(name: string, version: string, dev: boolean | undefined): object {
  const words = name.split(/[/-]/)
  const os = systems.filter((system) => words.includes(system))
  const cpu = processors.filter((processor) => words.includes(processor))
  const libc = words.includes('musl') || words.includes('musleabihf') ? { libc: ['musl'] } : {}
  if (os.length !== 1 || cpu.length !== 1) throw new Error(`for which platform is ${name}?`)
  return { version, cpu, ...(dev ? { dev } : {}), ...libc, optional: true, os }
}
