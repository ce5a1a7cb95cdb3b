import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Place } from '../../src/actions/probe.ts'
import { listProgress, probeList } from '../../src/actions/probe-list.ts'
import { OnecertError } from '../../src/base/errors.ts'

interface Written {
  readonly line: number
  readonly verdict: string
  readonly problem: { readonly code: string } | null
}

const seen = { verdict: 'ok', endpoints: [], problem: null } as const
const interrupted = new OnecertError('INTERRUPTED', { what: 'interrupted' })

async function places(list: string): Promise<{ asked: Place[]; written: Written[] }> {
  const asked: Place[] = []
  const written: Written[] = []
  await probeList(
    {
      input: (async function* () {
        yield Buffer.from(list)
      })(),
      write: async (text) => void written.push(JSON.parse(text) as Written),
      probe: async (place) => {
        asked.push(place)
        return seen
      },
      port: 443,
      concurrency: 1,
      done: null,
      progress: listProgress(null),
      name: 'www.lab.example',
    },
    new AbortController().signal,
  )
  return { asked, written }
}

describe('what may stand on a line', () => {
  for (const [line, host, port, name] of [
    ['192.0.2.1', '192.0.2.1', 443, 'www.lab.example'],
    ['192.0.2.1:8443\tshop.lab.example', '192.0.2.1', 8443, 'shop.lab.example'],
    ['2001:DB8::0001', '2001:db8::1', 443, 'www.lab.example'],
    ['[2001:db8::1]:8443', '2001:db8::1', 8443, 'www.lab.example'],
    ['eu-1.lab.example shop.lab.example', 'eu-1.lab.example', 443, 'shop.lab.example'],
    ['\ufeff  192.0.2.1  \r', '192.0.2.1', 443, 'www.lab.example'],
    ['{"address":"192.0.2.1"}', '192.0.2.1', 443, 'www.lab.example'],
    ['{"address":"2001:db8::1","port":25,"name":"SHOP.lab.example","more":1}', '2001:db8::1', 25, 'shop.lab.example'],
  ] as const) {
    test(line, async () => assert.deepEqual((await places(line)).asked, [{ host, port, name }]))
  }

  test('blank lines and comments are passed over, and counted as lines', async () => {
    const { written } = await places('# a list\n\n192.0.2.1\n  # more\n192.0.2.2')
    assert.deepEqual(
      written.map(({ line }) => line),
      [3, 5],
    )
  })
})

describe('what cannot be read is told with its number, and the next line is looked at', () => {
  for (const [line, code] of [
    ['192.0.2.1 a.lab.example b.lab.example', 'USAGE'],
    ['192.0.2.1:0', 'USAGE'],
    ['192.0.2.1:65536', 'USAGE'],
    ['192.0.2.256', 'NAME_INVALID'],
    ['[192.0.2.1]', 'NAME_INVALID'],
    ['https://www.lab.example/', 'NAME_HAS_SCHEME'],
    ['192.0.2.1 -x.lab.example', 'NAME_INVALID'],
    ['{"address":1}', 'USAGE'],
    ['{"address":"192.0.2.1","port":"x"}', 'USAGE'],
    ['{"address":"192.0.2.1"', 'USAGE'],
    ['{"address":"192.0.2.1","name":null}', 'USAGE'],
    ['\0\x1b[2J', 'NAME_INVALID'],
    ['x'.repeat(100_000), 'USAGE'],
  ] as const) {
    test(`${line.slice(0, 50)}: ${code}`, async () => {
      const { asked, written } = await places(`${line}\n192.0.2.1\n`)
      assert.deepEqual(
        written.map((each) => [each.line, each.verdict, each.problem?.code]),
        [
          [1, 'bad', code],
          [2, 'ok', undefined],
        ],
      )
      assert.equal(asked.length, 1)
    })
  }
})

describe('an endless list', () => {
  async function* endless(drawn: { chunks: number }): AsyncGenerator<Uint8Array> {
    for (;;) {
      drawn.chunks += 1
      yield Buffer.from('192.0.2.1\n'.repeat(10))
    }
  }
  const settings = { port: 443, name: 'www.lab.example', concurrency: 8, done: null }

  test('is read no faster than its results are written, with so many probes at once and no more', async () => {
    const drawn = { chunks: 0 }
    const stop = new AbortController()
    let [running, most, asked] = [0, 0, 0]
    const ended = probeList(
      {
        ...settings,
        input: endless(drawn),
        // The disk takes nothing more.
        write: () => new Promise((_, reject) => stop.signal.addEventListener('abort', () => reject(interrupted))),
        probe: async () => {
          asked += 1
          running += 1
          most = Math.max(most, running)
          await new Promise(setImmediate)
          running -= 1
          return seen
        },
        progress: listProgress(null),
      },
      stop.signal,
    )
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.deepEqual([most, asked, drawn.chunks], [8, 8, 1])
    stop.abort(interrupted)
    await assert.rejects(ended, interrupted)
  })

  test('ends at once when it is interrupted: what was begun is not written', async () => {
    const stop = new AbortController()
    let written = 0
    const ended = probeList(
      {
        ...settings,
        input: endless({ chunks: 0 }),
        write: async () => void written++,
        probe: (_, signal) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        progress: listProgress(null),
      },
      stop.signal,
    )
    setTimeout(() => stop.abort(interrupted), 50)
    await assert.rejects(ended, interrupted)
    assert.equal(written, 0)
  })

  test('ends with what kept a result from being written', async () => {
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
    let left = 20
    await assert.rejects(
      probeList(
        {
          ...settings,
          input: endless({ chunks: 0 }),
          write: async () => {
            left -= 1
            if (left === 0) throw full
          },
          probe: async () => seen,
          progress: listProgress(null),
        },
        new AbortController().signal,
      ),
      full,
    )
  })
})
