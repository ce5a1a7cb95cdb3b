import { serviceContract } from '../contract/service.ts'

serviceContract('postgresql', {
  testSeesMismatch: false,
  reloadKeepsOld: true,
  unreadable: { code: 'VERIFY_OLD_CERTIFICATE' },
})
