import { fail, quote } from '../../base/errors.ts'
import { plainName, sameName } from '../../dns/message.ts'
import type { Resolver } from '../../dns/resolver.ts'

const aliasesMax = 8

/**
 * The name where a value has to be written so that it is seen at `name`: the end of its CNAME chain (RFC 8555 section
 * 8.4 lets the CA follow one), else the name itself.
 * @throws OnecertError DNS_CNAME_LOOP, DNS_UNREACHABLE
 */
export async function writtenName(name: string, resolver: Resolver, signal: AbortSignal): Promise<string> {
  const chain = [plainName(name)]
  for (let current = chain[0] ?? ''; ; ) {
    const { answers } = await resolver.lookup(current, 'CNAME', signal)
    const alias = answers.find((record) => record.type === 'CNAME' && sameName(record.name, current))
    if (alias?.type !== 'CNAME') return current
    const next = plainName(alias.data)
    if (chain.includes(next) || chain.length > aliasesMax) {
      fail('DNS_CNAME_LOOP', {
        what: `the CNAME records of ${chain[0]} lead nowhere`,
        fact: chain.includes(next)
          ? `${[...chain, next].map((each) => quote(each)).join(' → ')}: a circle`
          : `more than ${aliasesMax} of them`,
        state: 'nothing was written',
        next: `correct them; see: dig ${chain[0]} CNAME`,
      })
    }
    chain.push(next)
    current = next
  }
}
