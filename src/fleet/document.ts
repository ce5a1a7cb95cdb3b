import { resolve } from 'node:path'
import type { z } from 'zod'
import { catalogue, type ErrorCode } from '../base/catalogue.ts'
import { OnecertError, quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import { covers, parseHostName } from '../pki/names.ts'
import type { Certificate, FileSettings, Fleet, Issuer, Server, ServiceSettings, Site } from './fleet.ts'
import { type FleetAsWritten, fleetSchema } from './schema.ts'
import { readSource, type Source, throwAll } from './source.ts'

export interface FleetFileName {
  /** As the user typed it: messages begin with it. */
  readonly file: string
  /** Absolute; relative paths of the file are resolved against it. */
  readonly directory: string
}

/**
 * The desired state that a fleet file describes. Pure.
 * @throws OnecertError CONFIG_*, NAME_*: the first problem, with all others of the file in `also`
 */
export function parseFleet(text: Uint8Array | string, { file, directory }: FleetFileName): Fleet {
  const source = readSource(text, file)
  const parsed = fleetSchema.safeParse(source.value)
  if (!parsed.success) {
    throwAll(parsed.error.issues.flatMap((issue) => problemsOf(issue, source, [])))
    throw parsed.error
  }
  const problems: OnecertError[] = []
  const report: ReportProblem = (code, path, failure, at) => void problems.push(source.problem(code, path, failure, at))
  const fleet = normalise(parsed.data, directory, report)
  throwAll(problems)
  return fleet
}

type ReportProblem = (...problem: Parameters<Source['problem']>) => void

function problemsOf(issue: z.core.$ZodIssue, source: Source, before: readonly PropertyKey[]): OnecertError[] {
  const path = [...before, ...issue.path]
  const place = path.length === 0 ? 'the fleet file' : `"${quote(path.map(String).join('.'), 120)}"`
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path)
    return issue.keys.map((key) => {
      const near = closest(key, known)
      return source.problem(
        'CONFIG_UNKNOWN_KEY',
        [...path, key],
        {
          what: `unknown key "${quote(key)}" in ${place}`,
          ...(near
            ? { fact: `did you mean "${near}"?` }
            : known.length > 0 && { fact: `known here: ${known.join(', ')}` }),
        },
        'key',
      )
    })
  }
  // Of a union, the alternative that came furthest tells most.
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const depth = (issues: readonly z.core.$ZodIssue[]) =>
      Math.max(0, ...issues.map((each) => each.path.length + (each.code === 'unrecognized_keys' ? 1 : 0)))
    const value = path.reduce<unknown>(
      (at, step) => (at as Record<PropertyKey, unknown> | undefined)?.[step],
      source.value,
    )
    const kind = value !== null && typeof value === 'object' && !Array.isArray(value) ? 'object' : typeof value
    const fitting = issue.errors.filter(
      (issues) => !issues.some((each) => each.path.length === 0 && each.code === 'invalid_type'),
    )
    const [best] = (fitting.length > 0 ? fitting : issue.errors).toSorted((left, right) => depth(right) - depth(left))
    if (best && (fitting.length > 0 || kind === 'object')) return best.flatMap((each) => problemsOf(each, source, path))
  }
  if (issue.code === 'invalid_key') {
    return [
      source.problem(
        'CONFIG_BAD_VALUE',
        path,
        { what: `"${quote(String(path.at(-1)))}" ${issue.issues[0]?.message ?? 'is no name'}` },
        'key',
      ),
    ]
  }
  if (path.join('.') === 'version') {
    const value = (source.value as { version?: unknown } | null)?.version
    const newer = typeof value === 'number' && value > 1
    return [
      source.problem('CONFIG_BAD_VALUE', path, {
        what: newer ? `version ${value} is for a newer onecert` : '"version" is missing or wrong',
        fact: 'this onecert reads version 1',
        next: newer ? 'upgrade onecert' : 'write "version: 1" as the first line',
      }),
    ]
  }
  const params = issue.code === 'custom' ? (issue.params as { code?: string; next?: string } | undefined) : undefined
  const code = params?.code && Object.hasOwn(catalogue, params.code) ? (params.code as ErrorCode) : 'CONFIG_BAD_VALUE'
  const missing = issue.code === 'invalid_type' && issue.message.includes('received undefined')
  return [
    source.problem(code, path, {
      what: missing ? `${place} is missing` : `${place} ${decapitalise(issue.message)}`,
      ...(params?.next && { next: params.next }),
    }),
  ]
}

function decapitalise(message: string): string {
  return message.startsWith('Invalid') ? `is not valid: ${message.replace(/^Invalid (input: )?/, '')}` : message
}

/** The keys that the schema knows at a place, from its own shape. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let schemas: z.core.$ZodType[] = [fleetSchema]
  for (const step of path) schemas = schemas.flatMap((schema) => below(schema, step))
  return [
    ...new Set(
      schemas
        .flatMap(unwrapped)
        .flatMap((schema) => ('shape' in schema._zod.def ? Object.keys(schema._zod.def.shape as object) : [])),
    ),
  ]
}

function below(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType[] {
  return unwrapped(schema).flatMap(({ _zod: { def } }) => {
    if ('shape' in def) return (def.shape as Record<PropertyKey, z.core.$ZodType>)[step] ?? []
    return 'valueType' in def ? (def.valueType as z.core.$ZodType) : []
  })
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  const { def } = schema._zod
  if ('innerType' in def) return unwrapped(def.innerType as z.core.$ZodType)
  if ('options' in def) return (def.options as z.core.$ZodType[]).flatMap(unwrapped)
  return [schema]
}

function normalise(written: FleetAsWritten, directory: string, report: ReportProblem): Fleet {
  const names = (values: object) => Object.keys(values)
  const refer = (kind: string, name: string, known: readonly string[], path: readonly PropertyKey[]) => {
    if (known.includes(name)) return
    const near = closest(name, known)
    report('CONFIG_UNKNOWN_REFERENCE', path, {
      what: `there is no ${kind} "${quote(name)}"`,
      fact: near ? `did you mean "${near}"?` : `there is ${known.join(', ') || 'none'}`,
    })
  }
  const hostName = (text: string, path: readonly PropertyKey[], at: 'key' | 'value' = 'value'): string => {
    try {
      return parseHostName(text)
    } catch (error) {
      if (!(error instanceof OnecertError)) throw error
      const { what, fact, next } = error.failure
      report(error.code, path, { what, ...(fact && { fact }), ...(next && { next }) }, at)
      return text
    }
  }

  const certificates = new Map(
    Object.entries(written.certificates).map(([name, each]): [string, Certificate] => {
      const path = ['certificates', name]
      refer('issuer', each.issuer, names(written.issuers), [...path, 'issuer'])
      return [
        name,
        {
          name,
          names: each.names.map((text, at) => hostName(text, [...path, 'names', at])),
          issuer: each.issuer,
          key: { type: each.key.type, keepForMs: each.key['keep-for'] },
          ...(each.licence && { licence: each.licence }),
        },
      ]
    }),
  )

  const servers = new Map(
    Object.entries(written.servers).map(([name, each]): [string, Server] => {
      for (const certificate of names(each.files ?? {}))
        refer('certificate', certificate, [...certificates.keys()], ['servers', name, 'files', certificate])
      const server = normaliseServer(name, each, directory)
      checkFiles(server, report)
      return [name, server]
    }),
  )

  const sites = new Map<string, Site>()
  for (const [text, each] of Object.entries(written.sites)) {
    const path = ['sites', text]
    const name = hostName(text, path, 'key')
    refer('certificate', each.certificate, [...certificates.keys()], [...path, 'certificate'])
    const certificate = certificates.get(each.certificate)
    if (certificate && !covers(certificate.names, name)) {
      report(
        'CONFIG_BAD_VALUE',
        path,
        {
          what: `the certificate "${certificate.name}" does not cover ${quote(name)}`,
          fact: `it names ${certificate.names.join(', ')}`,
          next: `add ${quote(name)} to certificates.${certificate.name}.names`,
        },
        'key',
      )
    }
    const site = { name, certificate: each.certificate, topology: topologyOf(each) }
    for (const [at, server] of site.topology.servers.entries()) {
      const place = each.dns
        ? ['dns', at]
        : each['load-balancer']
          ? ['load-balancer', 'servers', at]
          : ['reverse-proxy', 'servers', at]
      refer('server', server, [...servers.keys()], [...path, ...place])
    }
    sites.set(name, site)
  }

  const { canary, wave } = written.rollout
  return {
    issuers: new Map(
      Object.entries(written.issuers).map(([name, each]) => [name, normaliseIssuer(name, each, directory)]),
    ),
    certificates,
    servers,
    sites,
    rollout: {
      canary,
      wave: typeof wave === 'number' ? { servers: wave } : { share: Number.parseInt(wave, 10) / 100 },
      confirmWithinMs: written.rollout['confirm-within'],
    },
  }
}

function normaliseIssuer(name: string, written: FleetAsWritten['issuers'][string], directory: string): Issuer {
  const ca = written['local-ca']
  if (ca) return { kind: 'local-ca', name, commonName: ca['common-name'], lifetimeMs: ca.lifetime }
  const { certificate, key, chain, pkcs12, 'passphrase-file': passphraseFile } = written.import ?? {}
  const path = (text: string) => resolve(directory, text)
  const passphrase = passphraseFile === undefined ? {} : { passphraseFile: path(passphraseFile) }
  if (pkcs12 !== undefined) return { kind: 'import-pkcs12', name, pkcs12: path(pkcs12), ...passphrase }
  return {
    kind: 'import-pem',
    name,
    certificate: path(certificate ?? ''),
    ...(key !== undefined && { key: path(key) }),
    ...(chain !== undefined && { chain: path(chain) }),
    ...passphrase,
  }
}

type ServerAsWritten = FleetAsWritten['servers'][string]

function normaliseServer(name: string, written: ServerAsWritten, directory: string): Server {
  return {
    name,
    reach: reachOf(written, directory),
    address: written.address,
    port: written.port,
    ...(written.location !== undefined && { location: written.location }),
    service: serviceOf(written.service),
    directory: written.directory.replace(/\/+$/, ''),
    files: new Map(
      Object.entries(written.files ?? {}).map(([certificate, each]): [string, FileSettings] => [
        certificate,
        Object.fromEntries(Object.entries(each).filter(([, value]) => value !== undefined)) as FileSettings,
      ]),
    ),
    probe: written.probe,
  }
}

function reachOf(written: ServerAsWritten, directory: string): Server['reach'] {
  if (written.ssh === undefined) return { kind: 'local' }
  const ssh: Exclude<ServerAsWritten['ssh'], string | undefined> =
    typeof written.ssh === 'string' ? { destination: written.ssh } : written.ssh
  const user = ssh.destination.includes('@') ? ssh.destination.split('@')[0] : undefined
  const hostKey = written['host-key']
  return {
    kind: 'ssh',
    destination: ssh.destination,
    ...(ssh.port !== undefined && { port: ssh.port }),
    hostKeys: (hostKey === undefined ? [] : [hostKey].flat()).map((each) => each.replace(/=$/, '')),
    ...(written['known-hosts'] !== undefined && { knownHosts: resolve(directory, written['known-hosts']) }),
    ...(ssh.identity !== undefined && { identity: resolve(directory, ssh.identity) }),
    sudo: ssh.sudo ?? (user !== undefined && user !== 'root'),
  }
}

function serviceOf(written: ServerAsWritten['service']): ServiceSettings {
  if (typeof written === 'string') return { kind: written }
  const [kind, settings] = Object.entries(written)[0] ?? []
  const given = Object.fromEntries(Object.entries(settings ?? {}).filter(([, value]) => value !== undefined))
  return { ...given, kind: kind as ServiceSettings['kind'] }
}

function topologyOf(written: FleetAsWritten['sites'][string]): Site['topology'] {
  const balancer = written['load-balancer']
  if (balancer) return { kind: 'load-balancer', ...balancer }
  const proxy = written['reverse-proxy']
  if (proxy) return { kind: 'reverse-proxy', ...proxy }
  return { kind: 'dns', servers: written.dns ?? [] }
}

/** Explicit paths must fit what the service reads: a pair of files, or one combined file. */
function checkFiles(server: Server, report: ReportProblem): void {
  const layout = server.service.layout ?? (server.service.kind === 'haproxy' ? 'combined' : 'pair')
  for (const [certificate, { chain, key, combined }] of server.files) {
    const paths = [chain, key, combined].some((each) => each !== undefined)
    const right = layout === 'combined' ? combined && !chain && !key : chain && key && !combined
    if (!paths || right) continue
    report('CONFIG_BAD_VALUE', ['servers', server.name, 'files', certificate], {
      what: `the files of ${certificate} on ${server.name} do not fit ${server.service.kind}`,
      fact: layout === 'combined' ? 'it reads one file: "combined"' : 'it reads two files: "chain" and "key"',
    })
  }
}
