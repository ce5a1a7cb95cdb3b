import { dayMs, hourMs } from '../../base/clock.ts'
import type { RateLimits } from './limit.ts'

export const letsEncrypt: RateLimits = {
  asOf: '2026-08-05',
  source: 'https://letsencrypt.org/docs/rate-limits/',
  limits: [
    {
      name: 'new registrations per IP address',
      count: 10,
      windowMs: 3 * hourMs,
      counts: 'accounts',
      per: 'address',
      lets: [],
      forgets: false,
    },
    {
      name: 'new orders per account',
      count: 300,
      windowMs: 3 * hourMs,
      counts: 'orders',
      per: 'account',
      lets: ['ari', 'renewal'],
      forgets: false,
    },
    {
      name: 'new certificates per registered domain',
      count: 50,
      windowMs: 7 * dayMs,
      counts: 'certificates',
      per: 'registered domain',
      lets: ['ari', 'renewal'],
      forgets: false,
    },
    {
      name: 'new certificates per exact set of identifiers',
      count: 5,
      windowMs: 7 * dayMs,
      counts: 'certificates',
      per: 'set of names',
      lets: ['ari'],
      forgets: false,
    },
    {
      name: 'authorization failures per identifier per account',
      count: 5,
      windowMs: hourMs,
      counts: 'failed authorizations',
      per: 'name',
      lets: ['ari'],
      forgets: false,
    },
    {
      // What is beyond it is paused until somebody visits the CA's portal. One comes back a day.
      name: 'consecutive authorization failures per identifier per account',
      count: 1152,
      windowMs: 1152 * dayMs,
      counts: 'failed authorizations',
      per: 'name',
      lets: [],
      forgets: true,
    },
  ],
}
