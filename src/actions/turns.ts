import { asOnecertError, type OnecertError, withOthers } from '../base/errors.ts'

/**
 * One after the other, also behind one that fails.
 * @returns the first failure, the others beside it; null where there was none
 */
export async function eachInTurn<Item>(
  items: readonly Item[],
  signal: AbortSignal,
  work: (item: Item) => Promise<void>,
): Promise<OnecertError | null> {
  const failures: OnecertError[] = []
  for (const item of items) {
    if (failures.length > 0 && signal.aborted) break
    await work(item).catch((thrown: unknown) => failures.push(asOnecertError(thrown)))
  }
  const [first, ...others] = failures
  return first ? withOthers(first, others) : null
}
