import { serviceContract } from '../contract/service.ts'

// Against what watches files as it does: it is no package of Debian.
serviceContract('traefik', { testSeesMismatch: false, reloadKeepsOld: false, starts: false, slowMs: 3_000 })
