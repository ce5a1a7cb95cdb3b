/**
 * Which servers may take a copy. A seat is held by every server that has a key copy of the lineage; those keep theirs
 * whatever the limit says (I11: a licence never stops renewing what is there). Free seats go in fleet-file order.
 */
export function licenceSeats(
  wanted: readonly string[],
  holders: ReadonlySet<string>,
  seats: number | undefined,
): { readonly allowed: readonly string[]; readonly blocked: readonly string[] } {
  if (seats === undefined) return { allowed: wanted, blocked: [] }
  let free = seats - holders.size
  const allowed: string[] = []
  const blocked: string[] = []
  for (const server of wanted) {
    if (holders.has(server)) allowed.push(server)
    else if (free-- > 0) allowed.push(server)
    else blocked.push(server)
  }
  return { allowed, blocked }
}
