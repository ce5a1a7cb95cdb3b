import { serviceContract } from '../contract/service.ts'

serviceContract('caddy', {
  testSeesMismatch: true,
  reloadKeepsOld: true,
  unreadable: { code: 'SERVICE_TEST_FAILED', says: /permission denied/ },
})
