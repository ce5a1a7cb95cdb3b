import { z } from 'zod'
import { dayMs } from '../../base/clock.ts'
import { windowDefect } from '../window.ts'
import { duration, refused } from './grammar.ts'

const windowDefects = {
  cron: refused('is no cron expression of five fields', { next: 'write one such as "0 2 * * 0": Sundays at 02:00' }),
  'time-zone': refused('is no time zone', { next: 'write one such as Europe/Berlin or UTC' }),
  never: refused('never comes'),
}

const window = z
  .strictObject({
    cron: z.string().max(200).describe('when it opens: minute, hour, day of month, month, day of week'),
    for: duration(60_000, 7 * dayMs).describe('how long it is open'),
    'time-zone': z.string().max(60).default('UTC').describe('in which the cron expression is read'),
  })
  .superRefine((written, context) => {
    const defect = windowDefect({ cron: written.cron, timeZone: written['time-zone'] })
    if (defect === null) return
    const path = defect === 'time-zone' ? ['time-zone'] : ['cron']
    context.addIssue({
      code: 'custom',
      path,
      input: path[0] === 'cron' ? written.cron : written['time-zone'],
      ...windowDefects[defect],
    })
  })

export const windows = z
  .union([window, z.array(window).min(1).max(20)])
  .describe('when a server may be changed; absent: always')
