import type { Finding } from './finding.ts'

/** One thing that an audit looks at, with what was found: right, where nothing was. */
export interface Subject {
  readonly kind: 'issued' | 'files' | 'served' | 'upstream' | 'dns' | 'caa' | 'balancer' | 'resumption' | 'copies'
  readonly certificate: string
  readonly server: string | null
  readonly site: string | null
  /** `address:port (name)` of what is served, `address:port` of a balancer, the URL of an upstream. */
  readonly place: string | null
  readonly findings: readonly Finding[]
}

export function subject(
  kind: Subject['kind'],
  given: Partial<Subject> & Pick<Subject, 'certificate' | 'findings'>,
): Subject {
  return { kind, server: null, site: null, place: null, ...given }
}

const titles: Record<Subject['kind'], (subject: Subject) => string> = {
  issued: ({ certificate }) => `there is a certificate ${certificate}`,
  files: ({ certificate }) => `the files of ${certificate}`,
  served: ({ certificate, place }) => `${certificate} is served at ${place}`,
  upstream: ({ certificate, place }) => `no key of ${certificate} behind the proxy at ${place}`,
  dns: ({ site }) => `the DNS of ${site}`,
  caa: ({ site, place }) => `the CAA records of ${site} let ${place} issue`,
  balancer: ({ certificate, place }) => `${certificate} is served through the balancer ${place}`,
  copies: ({ certificate }) => `each copy of the key of ${certificate} is where one belongs`,
  resumption: ({ certificate, site }) => `sessions of ${certificate} resume across the servers of ${site}`,
}

/** One line for people; the same in each run. */
export function subjectTitle(subject: Subject): string {
  return titles[subject.kind](subject)
}

export function subjectId({ kind, certificate, server, site, place }: Subject): string {
  return JSON.stringify([kind, certificate, server, site, place])
}
