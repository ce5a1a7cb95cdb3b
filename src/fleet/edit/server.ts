import { isDeepStrictEqual } from 'node:util'
import { fail, quote } from '../../base/errors.ts'
import { closest } from '../../base/similar.ts'
import { type Entry, flowEntry } from '../entries.ts'
import { takenOut, withEntries, withHostKey, withItem, withoutEntry, withoutItem } from './text.ts'
import {
  child,
  childMap,
  file,
  hostNameOf,
  isMapping,
  type Path,
  readable,
  readValue,
  sameMeaning,
  valueAt,
} from './value.ts'

/**
 * The fleet file with the host key of a server set, and every other byte as it was.
 * @throws OnecertError SERVER_UNKNOWN; CONFIG_BAD_VALUE where the server has another way to be known, or where this cannot be
 * written without changing something else; what `readSource` throws
 */
export function setHostKey(text: string, server: string, fingerprint: string): string {
  const wanted = readValue(text)
  const written = child(child(wanted, 'servers'), server)
  if (written === undefined) fail('SERVER_UNKNOWN', { what: `there is no server "${quote(server)}" in ${file}` })
  const other = ['known-hosts', 'local'].find((key) => child(written, key) !== undefined)
  if (other !== undefined) {
    fail('CONFIG_BAD_VALUE', {
      what: `the server "${quote(server)}" has "${other}": a "host-key" beside it would not be allowed`,
      state: 'nothing was changed',
      next: `take "${other}" away first`,
    })
  }
  const edited = withHostKey(text, server, JSON.stringify(fingerprint))
  if (isMapping(written)) written['host-key'] = fingerprint
  if (edited !== null && isDeepStrictEqual(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the host key of "${quote(server)}" cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: `write it by hand, at ${quote(server)}:  host-key: "${quote(fingerprint)}"`,
  })
}

/**
 * The fleet file with a server, and with it in the lists of sites; every other byte as it was. An entry that is there stays
 * as it is, where it says the same in all that is given; so does a list that has the server.
 * @param sites host names, in lower case
 * @throws OnecertError SERVER_EXISTS where the entry says something else; USAGE for a site that is not there; CONFIG_BAD_VALUE
 * where it cannot be written without changing something else; what `readSource` throws
 */
export function addServer(text: string, server: Entry, sites: readonly string[]): string {
  const wanted = readValue(text)
  const there = child(child(wanted, 'servers'), server.name)
  let edited: string | null = text
  if (there !== undefined) requireSame(server, there)
  else {
    edited = withEntries(text, 'servers', [server])
    if (isMapping(wanted)) wanted.servers = { ...childMap(wanted, 'servers'), [server.name]: server.value }
  }
  for (const site of sites) {
    const { path, servers } = serversOfSite(wanted, site)
    if (servers.includes(server.name)) continue
    edited = edited === null ? null : withItem(edited, path, server.name)
    servers.push(server.name)
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the server "${quote(server.name)}" cannot be written without changing something else in ${file}`,
    state: 'nothing was changed',
    next: `write it by hand, below "servers" and in the list of each site:  ${quote(flowEntry(server), 400)}`,
  })
}

/**
 * The fleet file without a server, also in its sites; every other byte as it was, comments too.
 * @throws OnecertError SERVER_LAST where a site would have no server left; CONFIG_BAD_VALUE as above; what `readSource` throws
 */
export function removeServer(text: string, server: string): string {
  const wanted = readValue(text)
  let edited: string | null = text
  for (const site of Object.keys(childMap(wanted, 'sites'))) {
    const { path, servers } = serversOfSite(wanted, site)
    const at = servers.indexOf(server)
    if (at < 0) continue
    requireAnother(site, servers, server)
    edited = edited === null ? null : withoutItem(edited, path, at)
    servers.splice(at, 1)
  }
  for (const path of mentionsOf(wanted, server)) {
    const last = path.at(-1)
    edited = edited === null ? null : takenOut(edited, path)
    const parent = valueAt(wanted, path.slice(0, -1))
    if (Array.isArray(parent)) parent.splice(Number(last), 1)
    else if (isMapping(parent)) delete parent[String(last)]
  }
  if (child(child(wanted, 'servers'), server) !== undefined) {
    edited = edited === null ? null : withoutEntry(edited, ['servers', server])
    delete childMap(wanted, 'servers')[server]
  }
  if (edited !== null && sameMeaning(readable(edited), wanted)) return edited
  return fail('CONFIG_BAD_VALUE', {
    what: `the server "${quote(server)}" cannot be taken out without changing something else in ${file}`,
    state: `${file} is as it was`,
    next: `take "${quote(server)}" out by hand: its entry below "servers", and its name in the sites`,
  })
}

/** @throws OnecertError SERVER_LAST */
export function requireAnother(site: string, servers: readonly string[], server: string): void {
  if (servers.some((each) => each !== server)) return
  fail('SERVER_LAST', {
    what: `${server} is the only server of ${quote(site)}`,
    state: 'nothing was changed',
    next: `add another server to it first (onecert server add), or take the site out of the fleet file`,
  })
}

function requireSame({ name, value }: Entry, there: unknown): void {
  const different = Object.keys(value).filter((key) => !sameMeaning(child(there, key), value[key]))
  if (different.length === 0) return
  const shown = different.map((key) => {
    const [was, given] = [child(there, key), value[key]].map((each) => quote(JSON.stringify(each) ?? 'absent', 120))
    return `${key}: ${was} there, ${given} given`
  })
  fail('SERVER_EXISTS', {
    what: `${file} has another server "${quote(name)}"`,
    fact: shown.join('; '),
    state: 'nothing was changed',
    next: 'leave these options away, or choose another name',
  })
}

const listsOfServers = [['dns'], ['load-balancer', 'servers'], ['reverse-proxy', 'servers']] as const

/** The list of the servers of a site as it was read, to be changed, and where it stands. */
function serversOfSite(wanted: unknown, site: string): { path: readonly string[]; servers: string[] } {
  const sites = childMap(wanted, 'sites')
  const key = Object.keys(sites).find((each) => each === site || hostNameOf(each) === site)
  const known = Object.keys(sites)
  const near = closest(site, known)
  if (key === undefined) {
    fail('USAGE', {
      what: `no site "${quote(site)}" in ${file}`,
      fact: near ? `did you mean "${quote(near)}"?` : `there is ${quote(known.slice(0, 10).join(', ') || 'none', 200)}`,
    })
  }
  for (const steps of listsOfServers) {
    const servers = steps.reduce<unknown>((value, step) => child(value, step), sites[key])
    if (Array.isArray(servers)) return { path: ['sites', key, ...steps], servers }
  }
  return { path: ['sites', key], servers: [] }
}

/** Where sites name a server beside their lists: HAProxy's name for it, a standby, an upstream. What has nothing else goes whole. */
function mentionsOf(wanted: unknown, server: string): Path[] {
  return Object.entries(childMap(wanted, 'sites')).flatMap(([site, written]) => {
    const found: Path[] = []
    const control = child(child(written, 'load-balancer'), 'control')
    for (const [at, each] of (Array.isArray(control) ? control : [control]).entries()) {
      const members = child(child(each, 'haproxy'), 'members')
      if (child(members, server) === undefined || !isMapping(members)) continue
      const place = ['sites', site, 'load-balancer', 'control', ...(Array.isArray(control) ? [at] : []), 'haproxy']
      found.push([...place, 'members', ...(Object.keys(members).length > 1 ? [server] : [])])
    }
    const proxy = child(written, 'reverse-proxy')
    const standby = child(proxy, 'standby')
    const at = Array.isArray(standby) ? standby.indexOf(server) : -1
    if (Array.isArray(standby) && at >= 0)
      found.push(['sites', site, 'reverse-proxy', 'standby', ...(standby.length > 1 ? [at] : [])])
    const upstreams = child(proxy, 'upstreams')
    for (const [index, upstream] of (Array.isArray(upstreams) ? upstreams : []).entries())
      if (child(upstream, 'server') === server)
        found.push(['sites', site, 'reverse-proxy', 'upstreams', index, 'server'])
    return found
  })
}
