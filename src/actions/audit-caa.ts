import { type CaaIssuer, judgeCaa } from '../audit/caa.ts'
import { type Finding, finding } from '../audit/finding.ts'
import { type Subject, subject } from '../audit/subject.ts'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { AcmeIssuer, Certificate } from '../fleet/fleet.ts'
import { anonymousClient } from '../issue/acme/registration.ts'
import { caaFacts, caaResolver } from '../issue/dns/caa.ts'
import type { Context } from './context.ts'

/** At once. */
const lookupsMax = 16
const directoryWithinMs = 10_000

/**
 * Whether the CAs of certificates may issue again for all of their names. One that does not say which names it goes by in
 * CAA records is not judged.
 */
export async function auditCaa(context: Context, certificates: readonly Certificate[]): Promise<Subject[]> {
  const { fleet, signal } = context
  const names = new Set(certificates.flatMap(({ issuers }) => issuers))
  const subjects: Subject[] = []
  for (const name of names) {
    const spec = fleet.issuers.get(name)
    const resolver = spec?.kind === 'acme' ? caaResolver(spec) : null
    if (spec?.kind !== 'acme' || resolver === null) continue
    const issuer = await identitiesOf(context, spec).catch((error: unknown) => {
      signal.throwIfAborted()
      return asOnecertError(error)
    })
    for (const certificate of certificates.filter(({ issuers }) => issuers.includes(name))) {
      if (issuer instanceof OnecertError) {
        subjects.push(
          subject('caa', {
            certificate: certificate.name,
            site: null,
            place: name,
            findings: [silent(certificate, name, issuer)],
          }),
        )
        continue
      }
      await inLanes(certificate.names, lookupsMax, async (each) => {
        const base = { certificate: certificate.name, site: each, place: name }
        const asked = { ...issuer, standsIn: certificate.issuers[0] !== name }
        const look = async () => judgeCaa(certificate.name, each, asked, await caaFacts(each, resolver, signal))
        const findings = await look().catch((error: unknown) => {
          signal.throwIfAborted()
          return [
            finding('unreachable', {
              ...base,
              what: `whether CAA lets ${name} issue for ${each} could not be seen: ${asOnecertError(error).failure.what}`,
              repair: 'onecert audit, when the name servers answer',
            }),
          ]
        })
        subjects.push(subject('caa', { ...base, findings }))
      })
    }
  }
  return subjects
}

async function identitiesOf({ clock, signal }: Context, spec: AcmeIssuer): Promise<Omit<CaaIssuer, 'standsIn'>> {
  const client = await anonymousClient(spec, { clock, signal, withinMs: directoryWithinMs })
  const { caaIdentities: identities } = (await client.directory()).meta
  return { name: spec.name, identities }
}

/** Said once for all names of the certificate. */
function silent(certificate: Certificate, place: string, { failure }: OnecertError): Finding {
  return finding('unreachable', {
    certificate: certificate.name,
    place,
    what: `whether CAA lets ${place} issue again could not be seen: ${failure.what}`,
    repair: failure.next ?? 'onecert audit, when the CA answers',
  })
}
