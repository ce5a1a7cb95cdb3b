import { z } from 'zod'
import { duration, given, name, rule, serverPath } from './grammar.ts'
import { noPinHere, oneKindOfPin, way } from './machine.ts'

const proxyName = z.string().regex(/^[A-Za-z0-9_.:-]{1,100}$/, 'is no name that HAProxy has: letters, digits, _ . : -')

/** A balancer's Runtime API is as good as its root: nobody is asked for it whose host key was not confirmed. */
export const control = z
  .strictObject({
    ...way,
    haproxy: z
      .strictObject({
        socket: serverPath.describe('of the Runtime API, with level admin: stats socket PATH level admin'),
        backend: proxyName,
        members: z
          .record(name, proxyName)
          .default({})
          .describe("HAProxy's names of the servers, where they are others than here"),
      })
      .describe('HAProxy, by its Runtime API'),
    'drain-within': duration(0, 600_000)
      .prefault('30s')
      .describe('a member that has sessions after this time is reloaded with them'),
  })
  .refine((spec) => given(spec.ssh, spec.local) === 1, rule('needs either "ssh" or "local: true"'))
  .refine((spec) => given(spec['host-key'], spec['known-hosts']) < 2, oneKindOfPin)
  .refine(
    (spec) => spec.ssh === undefined || given(spec['host-key'], spec['known-hosts']) > 0,
    rule(
      'has "ssh" without "host-key" or "known-hosts"',
      'on the balancer: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
    ),
  )
  .refine((spec) => spec.local === undefined || given(spec['host-key'], spec['known-hosts']) === 0, noPinHere)
