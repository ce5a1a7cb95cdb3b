import { serviceContract } from '../contract/service.ts'

serviceContract('dovecot', { testSeesMismatch: false, reloadKeepsOld: false })
