import { serviceContract } from '../contract/service.ts'

serviceContract('apache', { testSeesMismatch: false, reloadKeepsOld: false })
