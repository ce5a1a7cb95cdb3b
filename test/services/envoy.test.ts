import { serviceContract } from '../contract/service.ts'

// Against what watches files as it does: it is no package of Debian.
serviceContract('envoy', { testSeesMismatch: false, reloadKeepsOld: true, starts: false })
