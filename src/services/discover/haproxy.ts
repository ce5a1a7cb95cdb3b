import { type FileFacts, type FoundSite, type Listen, parseListen, splitFiles } from './found.ts'

/**
 * The frontends of an HAProxy. Which names it serves, the certificates say; those in a folder are all in it.
 * @param facts the files that are there, by path
 */
export function discoverHaproxy(lines: readonly string[], facts: ReadonlyMap<string, FileFacts>): FoundSite[] {
  const sites: FoundSite[] = []
  let base = ''
  for (const line of splitFiles(lines).flatMap((file) => file.lines)) {
    const [directive, ...words] = line.trim().split(/\s+/)
    if (directive === 'crt-base') base = words[0] ?? ''
    if (directive !== 'bind' || !words.includes('ssl')) continue
    const listens = (words[0] ?? '').split(',').flatMap(listenOf)
    const named = words.flatMap((word, at) => (words[at - 1] === 'crt' ? [word] : []))
    const paths = named
      .map((path) => (path.startsWith('/') || base === '' ? path : `${base}/${path}`))
      .filter((path) => path.startsWith('/'))
    for (const path of paths) {
      const folder = `${path.replace(/\/+$/, '')}/`
      const files = facts.has(path) ? [path] : [...facts.keys()].filter((each) => each.startsWith(folder))
      for (const file of files.length > 0 ? files : [path]) {
        const names = facts.get(file)?.names ?? []
        // What is no certificate in a folder (a key beside it, a note) is none of ours.
        if (file !== path && names.length === 0) continue
        const key = `${file}.key`
        sites.push({ names, listens, certificates: [{ chain: file, key: facts.has(key) ? key : null }] })
      }
    }
  }
  return sites
}

/** `:443`, `*:443`, `ipv4@192.0.2.1:443`, `:::443`, `[::]:443`; not a socket or a file descriptor. */
function listenOf(text: string): Listen[] {
  const plain = text.replace(/^(ipv4|ipv6)@/, '')
  const [, address = '', port] = /^(.*):(\d{1,5})(?:-\d+)?$/.exec(plain) ?? []
  if (port === undefined || /^[a-z]+@/.test(plain) || address.startsWith('/')) return []
  return parseListen(
    address.includes(':') && !address.startsWith('[') ? `[${address}]:${port}` : `${address}:${port}`,
    443,
  )
}
