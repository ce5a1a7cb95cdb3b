import type { Issuer as IssuerSpec } from '../fleet/fleet.ts'
import { acme } from './acme/issuer.ts'
import type { AcmeTools } from './acme/tools.ts'
import { importPem, importPkcs12 } from './import.ts'
import type { Issuer } from './issuer.ts'
import type { Solver } from './solver.ts'
import { watch } from './watch.ts'

/** The issuer that a fleet-file entry describes. */
export function issuerOf(spec: IssuerSpec, tools: AcmeTools & { readonly solvers: readonly Solver[] }): Issuer {
  const { keys } = tools
  switch (spec.kind) {
    case 'import-pem':
      return importPem(spec, keys)
    case 'import-pkcs12':
      return importPkcs12(spec, keys)
    case 'watch':
      return watch(spec, keys)
    case 'local-ca':
      // What builds certificates takes a third of the time that the program needs to start.
      return { issue: async (order) => (await import('./local-ca.ts')).localCa(spec, keys).issue(order) }
    case 'acme':
      return acme(spec, tools)
  }
}
