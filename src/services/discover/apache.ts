import { type FoundFiles, type FoundSite, type Listen, parseListen, splitFiles, unquoted } from './found.ts'

/** The files of an Apache, in the order in which they are included. */
export function discoverApache(lines: readonly string[]): FoundSite[] {
  const defines = new Map<string, string>()
  const sites: FoundSite[] = []
  let serverRoot = ''
  let host: Host | null = null
  const around = newHost([])
  for (const line of splitFiles(lines).flatMap((file) => file.lines)) {
    const [, directive = '', rest = ''] = /^\s*(<?\/?[A-Za-z]+)\s*([^>]*)>?\s*$/.exec(line) ?? []
    const words = wordsOf(rest).map((word) => substituted(word, defines))
    const [first = ''] = words
    switch (directive.toLowerCase()) {
      case 'define':
        defines.set(first, words[1] ?? '')
        break
      case 'serverroot':
        serverRoot = first
        break
      case '<virtualhost':
        host = newHost(words.flatMap((word) => parseListen(word, 443)))
        break
      case '</virtualhost':
        if (host) sites.push(...siteOf(host, around, serverRoot))
        host = null
        break
      default:
        take(host ?? around, directive.toLowerCase(), words)
    }
  }
  return sites
}

interface Host {
  readonly listens: readonly Listen[]
  readonly names: string[]
  readonly chains: string[]
  readonly keys: string[]
  engine: boolean | null
}

function newHost(listens: readonly Listen[]): Host {
  return { listens, names: [], chains: [], keys: [], engine: null }
}

function take(host: Host, directive: string, words: readonly string[]): void {
  const [first = ''] = words
  if (directive === 'servername') host.names.unshift(first.replace(/^https?:\/\//, '').replace(/:\d+$/, ''))
  else if (directive === 'serveralias') host.names.push(...words)
  else if (directive === 'sslengine') host.engine = first.toLowerCase() === 'on'
  else if (directive === 'sslcertificatefile') host.chains.push(first)
  else if (directive === 'sslcertificatekeyfile') host.keys.push(first)
}

function siteOf(host: Host, around: Host, serverRoot: string): FoundSite[] {
  if ((host.engine ?? around.engine) !== true) return []
  const { chains, keys } = host.chains.length > 0 ? host : around
  const absolute = (path: string) => (path.startsWith('/') || serverRoot === '' ? path : `${serverRoot}/${path}`)
  const certificates = chains.map(absolute).flatMap((chain, at): FoundFiles[] => {
    const key = keys[at]
    if (!chain.startsWith('/')) return []
    return [{ chain, key: key === undefined || absolute(key) === chain ? null : absolute(key) }]
  })
  if (certificates.length === 0) return []
  return [{ names: host.names, listens: host.listens, certificates }]
}

function wordsOf(text: string): string[] {
  return (text.match(/"[^"]*"|\S+/g) ?? []).map(unquoted)
}

/** Variables of the environment stay as they are: only the running Apache knows them. */
function substituted(word: string, defines: ReadonlyMap<string, string>): string {
  return word.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => defines.get(name) ?? whole)
}
