interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit: what is asked for in the same turn of the event loop, or while the write before it is under way, is
 * written in one go, because each durable write costs a flush of the disk. A promise resolves when its item is written.
 */
export function batched<Item, Result>(
  write: (items: readonly Item[]) => Result[] | Promise<Result[]>,
): (item: Item) => Promise<Result> {
  let waiting: Waiting<Item, Result>[] = []
  let writing = false
  const writeAll = async () => {
    for (let batch = waiting; batch.length > 0; batch = waiting) {
      waiting = []
      try {
        const results = await write(batch.map(({ item }) => item))
        for (const [at, { resolve }] of batch.entries()) resolve(results[at] as Result)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    writing = false
  }
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (writing) return
      writing = true
      setImmediate(() => void writeAll())
    })
}
