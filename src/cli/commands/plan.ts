import type { Command } from 'commander'
import { type Planned, plan } from '../../actions/plan.ts'
import { counted, day } from '../../pki/text.ts'
import type { Action, PlannedServer } from '../../rollout/plan.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

export function planCommand(program: Command, shell: Shell): void {
  const command = program
    .command('plan')
    .argument('[certificate...]', 'only these')
    .option('--server <name...>', 'only these servers, and look at their files too')
    .summary('say what apply would do, with the number of key copies that would travel')
    .description('Says what apply would do. It touches no server, and asks no CA for a certificate but a local one.')
  describe(
    command,
    ['onecert plan'],
    [
      usageExit,
      { status: 65, when: 'a certificate or key has a defect' },
      { status: 77, when: 'the vault identity is open to others, or its passphrase is wrong' },
      configurationExit,
    ],
  ).action((certificates: string[], options: { server?: string[] }) =>
    withContext(shell, command, async (context, json) => {
      const plans = await plan(context, {
        ...(certificates.length > 0 && { certificates }),
        ...(options.server && { servers: options.server, thorough: true }),
      })
      if (json) printJson(shell.terminal, { certificates: plans.map(planJson) })
      else for (const each of plans) printPlan(each, shell.terminal)
    }),
  )
}

const words: Record<Action, string> = {
  none: 'nothing to do',
  check: 'look there, and repair what is not right; the key is there already',
  tickets: 'session ticket keys are seen to; no private key travels',
  chain: 'new chain; the key is there already and does not travel',
  key: 'chain and private key travel',
}

function printPlan({ plan, wanted, tickets }: Planned, terminal: Terminal): void {
  const { certificate, generation } = plan
  const what =
    wanted === null
      ? `valid until ${day(generation.notAfterMs)}`
      : `to be issued by ${certificate.issuers.join(' or ')}, because ${wanted}`
  terminal.out(
    `${terminal.style('bold', certificate.name)}: generation ${generation.number}, ${certificate.names.join(', ')}, ${what}`,
  )
  if (tickets) terminal.out(`  new session ticket keys, because ${tickets}`)
  for (const [at, wave] of plan.waves.entries()) {
    const confirm = plan.policy.confirmWithinMs / 1000
    terminal.out(
      at === 0
        ? `  wave 1 of ${plan.waves.length}, the canary (each swap undoes itself after ${confirm} s if it is not confirmed):`
        : `  wave ${at + 1} of ${plan.waves.length}:`,
    )
    for (const planned of wave) terminal.out(`    ${serverLine(planned)}`)
  }
  for (const { placement, reason } of plan.proven) terminal.out(`  ${placement.server.name}: nothing to do, ${reason}`)
  for (const each of plan.waiting) {
    terminal.out(`  ${serverLine(each)}; ${terminal.style('yellow', 'waits')} for its window, opens ${each.opensAt}`)
  }
  for (const { server } of plan.blocked) {
    terminal.out(
      `  ${server.name}: ${terminal.style('red', 'blocked')}: no licence seat is left (${certificate.licence?.servers} allowed)`,
    )
  }
  const visited = plan.waves.flat()
  const looks = visited.filter(({ action }) => action === 'check').length
  const all = visited.length + plan.proven.length + plan.waiting.length + plan.blocked.length
  terminal.out(
    `  ${counted(plan.keyCopies, 'key copy', 'key copies')} will travel; ` +
      `${visited.length - looks} of ${all} servers will be changed${looks > 0 ? `, ${looks} looked at there` : ''}`,
  )
}

function serverLine({ placement, action, reason, ticketKeys, override, memberships }: PlannedServer): string {
  const { server } = placement
  const way = server.reach.kind === 'ssh' ? `ssh ${server.reach.destination}` : 'this machine'
  const also = ticketKeys && action !== 'tickets' ? '; session ticket keys too' : ''
  const drained = memberships.map(({ control, member }) => `${control.backend}/${member}`).join(', ')
  return (
    `${server.name} (${way}): ${words[action]} (${reason})${also}` +
    (drained && `; drained at ${drained} for its reload`) +
    (override === undefined ? '' : `, though its window is closed: ${override}`)
  )
}

function planJson({ plan, wanted, tickets }: Planned): Record<string, unknown> {
  const brief = ({ placement, action, reason, ticketKeys, override, memberships }: PlannedServer) => ({
    server: placement.server.name,
    sites: placement.names,
    action,
    reason,
    ticketKeys,
    ...(override !== undefined && { override }),
    drainedAt: memberships.map(({ site, control, member }) => ({ site, backend: control.backend, member })),
  })
  return {
    certificate: plan.certificate.name,
    generation: plan.generation.number,
    ...(wanted === null ? { fingerprint: plan.generation.chain[0] } : { toBeIssued: wanted }),
    ...(tickets !== null && { newTicketKeys: tickets }),
    waves: plan.waves.map((wave) => wave.map(brief)),
    proven: plan.proven.map(brief),
    waitingForWindow: plan.waiting.map((each) => ({ ...brief(each), opensAt: each.opensAt })),
    withoutSeat: plan.blocked.map(({ server }) => server.name),
    keyCopies: plan.keyCopies,
  }
}
