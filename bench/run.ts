/**
 * Compares onecert with what people use today: `npm run bench [NAME…] [-- --json] [--runs N]`.
 *
 * Ours and the peers run in turns on the same machine, so that its noise hits all alike; medians are compared. One line a
 * comparison: a ratio above 1 means that we are better; or a table. With --json the same as NDJSON.
 */
import { inspect, parseArgs } from 'node:util'
import { installPackages } from '../test/packages.ts'
import type { Bench, Trial } from './bench.ts'
import { type Comparison, compare, line } from './comparison.ts'
import { deploy } from './deploy.ts'
import { probe } from './probe.ts'
import { rotate } from './rotate.ts'

const benches: readonly (Bench | Trial)[] = [deploy, rotate, probe]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, runs: { type: 'string' } },
})
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name))
const runs = values.runs === undefined ? null : Number(values.runs)
if (unknown.length > 0 || (runs !== null && !(Number.isInteger(runs) && runs > 0))) {
  console.error(
    `usage: npm run bench [NAME…] [-- --json] [--runs N]; there is ${benches.map(({ name }) => name).join(', ')}`,
  )
  process.exit(64)
}

const chosen = benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
try {
  for (const bench of chosen) {
    installPackages(bench.packages)
    if ('tries' in bench) await count(bench, runs ?? bench.runs)
    else {
      for await (const found of measure(bench, runs ?? bench.runs))
        console.log(values.json ? JSON.stringify(found) : line(found))
    }
  }
} catch (error) {
  console.error(inspect(error))
  process.exit(1)
}

async function* measure(bench: Bench, rounds: number): AsyncGenerator<Comparison> {
  await using contest = await bench.prepare((text) => process.stderr.write(`${bench.name}: ${text}\n`))
  for (const { variant, ours, peers } of contest.variants) {
    const name = variant ? `${bench.name}-${variant}` : bench.name
    const mine: number[] = []
    const theirs = new Map(Object.keys(peers).map((peer) => [peer, [] as number[]]))
    for (let round = 1; round <= rounds; round++) {
      for (const [peer, run] of Object.entries(peers)) {
        // A B A C …: ours is measured beside each peer.
        mine.push(await ours())
        theirs.get(peer)?.push(await run())
        process.stderr.write(`${name}: round ${round} of ${rounds}, ${peer}\n`)
      }
    }
    for (const [peer, values] of theirs)
      yield compare({ bench: name, peer, unit: bench.unit, ours: mine, theirs: values })
  }
}

async function count(trial: Trial, rounds: number): Promise<void> {
  const row = (cells: readonly (string | number)[]) => console.log(`| ${cells.join(' | ')} |`)
  if (!values.json) {
    row(trial.columns.map(({ title }) => title))
    row(trial.columns.map(({ text }) => (text ? '---' : '---:')))
  }
  for await (const { cells, found } of trial.tries(rounds, (text) =>
    process.stderr.write(`${trial.name}: ${text}\n`),
  )) {
    if (values.json) console.log(JSON.stringify({ bench: trial.name, ...found }))
    else row(cells)
  }
}
