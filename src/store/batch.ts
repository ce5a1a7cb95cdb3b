interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit: what is asked for in the same turn of the event loop is written in one go, because each durable write
 * costs a flush of the disk. A promise resolves when its item is written.
 */
export function batched<Item, Result>(
  write: (items: readonly Item[]) => Result[] | Promise<Result[]>,
): (item: Item) => Promise<Result> {
  let waiting: Waiting<Item, Result>[] = []
  const flush = async () => {
    const batch = waiting
    waiting = []
    try {
      const results = await write(batch.map(({ item }) => item))
      for (const [at, { resolve }] of batch.entries()) resolve(results[at] as Result)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (waiting.length === 1) setImmediate(() => void flush())
    })
}
