import { serviceContract } from '../contract/service.ts'

serviceContract('haproxy', { testSeesMismatch: true, reloadKeepsOld: true })
serviceContract('haproxy', { testSeesMismatch: true, reloadKeepsOld: true, runtime: true })
