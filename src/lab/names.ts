import { createServer, type DnsServer, Packet } from 'dns2'

/** A name server that answers A queries with all addresses of a name, another one first each time (round robin). */
export async function startNames(
  address: string,
  port: number,
  names: ReadonlyMap<string, readonly string[]>,
): Promise<DnsServer> {
  let turn = 0
  const server = createServer({
    udp: true,
    tcp: true,
    handle(request, send) {
      const response = Packet.createResponseFromRequest(request)
      const [question] = request.questions
      const known = names.get(question?.name.toLowerCase() ?? '') ?? []
      turn += 1
      for (const at of known.keys()) {
        const answer = new Packet.Resource(question?.name ?? '', Packet.TYPE.A, Packet.CLASS.IN, 1)
        response.answers.push(Object.assign(answer, { address: known[(at + turn) % known.length] ?? '' }))
      }
      send(response)
    },
  })
  await server.listen({ udp: { port, address }, tcp: { port, address } })
  return server
}
