/**
 * Does the work for each item, at most `parallel` at a time, to the end of all.
 * @throws the first failure, behind the last item
 */
export async function inLanes<Item>(
  items: readonly Item[],
  parallel: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items]
  const failures: unknown[] = []
  const lane = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
      await work(item).catch((error: unknown) => failures.push(error))
  }
  await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, lane))
  if (failures.length > 0) throw failures[0]
}
