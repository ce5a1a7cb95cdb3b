/**
 * Runs the tests: `node test/run.ts [file or part of a path]…`.
 *
 * Installs what the tests need first. A skipped test is a failed one. The last line is `N passed, N failed`; the exit
 * status is 1 on any failure and where no test ran.
 */
import { globSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { run } from 'node:test'
import { styleText } from 'node:util'
import { installPackages, testPackages } from './packages.ts'
import { collect, type FileResult } from './results.ts'

const root = resolve(import.meta.dirname, '..')
/** Two cores are what a small CI machine has. */
const concurrency = 2
const testTimeoutMs = 120_000
/** Beyond the tests' own limit: a file whose tests are done but that does not end leaks something. */
const fileTimeoutMs = 900_000

function chooseFiles(filters: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: root }).sort()
  if (filters.length === 0) return all
  const matches = (filter: string) =>
    all.filter((file) => file.includes(filter) || resolve(root, file) === resolve(filter))
  const nothing = filters.filter((filter) => matches(filter).length === 0)
  if (nothing.length > 0) throw new Error(`no test file is named by ${nothing.join(', ')}`)
  return [...new Set(filters.flatMap(matches))].sort()
}

async function runFile(file: string): Promise<FileResult> {
  const startedMs = performance.now()
  const events = run({
    files: [resolve(root, file)],
    cwd: root,
    timeout: testTimeoutMs,
    signal: AbortSignal.timeout(fileTimeoutMs),
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  return { ...(await collect(events, resolve(root, file))), file, durationMs: performance.now() - startedMs }
}

function print({ file, passed, failures, output, durationMs }: FileResult): void {
  const mark = failures.length === 0 ? styleText('green', 'ok  ') : styleText('red', 'FAIL')
  const counts = failures.length === 0 ? `${passed}` : `${passed} passed, ${failures.length} failed`
  console.log(`${mark} ${file} ${styleText('gray', `(${counts}, ${(durationMs / 1000).toFixed(1)} s)`)}`)
  for (const { name, text } of failures) console.log(`\n  ${styleText('red', name)}\n${indent(text)}\n`)
  if (failures.length > 0 && output !== '') console.log(`  what ${file} printed:\n${indent(output)}\n`)
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '    ').replaceAll(`${root}/`, '')
}

async function main(filters: readonly string[]): Promise<void> {
  let passed = 0
  const failed: string[] = []
  try {
    const waiting = chooseFiles(filters)
    installPackages(testPackages)
    const lane = async () => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const result = await runFile(file)
        print(result)
        passed += result.passed
        failed.push(...result.failures.map(({ name }) => `${relative(root, result.file)}: ${name}`))
      }
    }
    await Promise.all(Array.from({ length: concurrency }, lane))
    if (passed + failed.length === 0) console.error('no test ran')
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
  if (failed.length > 0) console.log(`\n${failed.map((name) => `${styleText('red', 'FAIL')} ${name}`).join('\n')}`)
  if (failed.length > 0 || passed === 0) process.exitCode = 1
  console.log(`${passed} passed, ${failed.length} failed`)
}

await main(process.argv.slice(2))
