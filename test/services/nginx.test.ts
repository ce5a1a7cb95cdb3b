import { serviceContract } from '../contract/service.ts'

serviceContract('nginx', { testSeesMismatch: true, reloadKeepsOld: true })
