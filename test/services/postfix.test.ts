import { serviceContract } from '../contract/service.ts'

serviceContract('postfix', { testSeesMismatch: false, reloadKeepsOld: false })
