import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Configuration, type ConfigurationChoice, configurations, type Part } from '../../actions/configuration.ts'
import { type Configured, install, uninstall } from '../../actions/configure.ts'
import { fail } from '../../base/errors.ts'
import { isAddress } from '../../pki/names.ts'
import type { ProfileName } from '../../services/config/profile.ts'
import { softwareKinds } from '../../services/config/software.ts'
import type { Software } from '../../services/config/versions.ts'
import { wholeNumber } from '../numbers.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly server?: string
  readonly part?: Part
  readonly profile: ProfileName
  readonly software?: Software
  readonly nginx?: string
  readonly apache?: string
  readonly haproxy?: string
  readonly caddy?: string
  readonly openssl?: string
  readonly offline?: boolean
  readonly bind?: string
  readonly httpPort?: number
  readonly redirect: boolean
  readonly install?: boolean
  readonly uninstall?: boolean
}

export function configCommand(program: Command, shell: Shell): void {
  const command = program
    .command('config')
    .argument('<site>', 'a site of the fleet file')
    .option('--server <name>', 'for this server alone')
    .addOption(new Option('--part <part>', 'for this part of the site alone').choices(['member', 'balancer', 'proxy']))
    .addOption(
      new Option('--profile <profile>', "which of Mozilla's profiles")
        .choices(['intermediate', 'modern'])
        .default('intermediate'),
    )
    .addOption(new Option('--software <software>', 'in place of what the fleet file says').choices(softwareKinds))
    .addOption(
      new Option('--nginx <version>', 'the version there, such as 1.22.1; then the server is not asked').argParser(
        version,
      ),
    )
    .addOption(new Option('--apache <version>', 'the same').argParser(version))
    .addOption(new Option('--haproxy <version>', 'the same').argParser(version))
    .addOption(new Option('--caddy <version>', 'the same').argParser(version))
    .addOption(new Option('--openssl <version>', 'the version of the library there, such as 3.0.17').argParser(version))
    .option('--offline', 'ask no server for its versions')
    .addOption(
      new Option('--bind <address>', 'listen at this address (default: all of the machine)').argParser(address),
    )
    .addOption(
      new Option('--http-port <port>', 'where plain HTTP is redirected (default: 80)').argParser(
        wholeNumber(1, 65_535),
      ),
    )
    .option('--no-redirect', 'nothing for plain HTTP')
    .addOption(
      new Option('--install', 'put it onto the servers as a file of its own, tested and proved').conflicts('software'),
    )
    .addOption(new Option('--uninstall', 'take that file away again').conflicts('install'))
    .summary('print or install the TLS configuration of the servers of a site')
    .description(
      "Prints what nginx, Apache, HAProxy or Caddy need in their configuration to serve a site, with the paths of the fleet file and TLS after Mozilla's guidelines. With --install each server gets it as an include file of its own; whatever fails brings the old one back.",
    )
  describe(
    command,
    [
      'onecert config www.domain.example',
      'onecert config www.domain.example --server eu-1 --nginx 1.22.1 --openssl 3.0.17',
      'onecert config shop.domain.example --part balancer > /etc/haproxy/haproxy.cfg',
      'onecert config www.domain.example --install',
    ],
    [
      usageExit,
      { status: 69, when: 'a server cannot be reached, or refuses the configuration; it has the old one' },
      { status: 73, when: 'a file is there that is not ours' },
      { status: 77, when: 'the server, or its host key, refuses' },
      configurationExit,
    ],
  ).action((site: string, options: Options) =>
    withContext(shell, command, async (context, json) => {
      const { terminal } = shell
      const done: Configured[] = []
      const report = (each: Configured) => {
        done.push(each)
        if (!json) terminal.out(doneText(each))
      }
      const choice = choiceOf(site, options)
      if (options.uninstall) {
        const made = await configurations(context, { ...choice, ask: false })
        await uninstall(
          context,
          site,
          made.flatMap(({ server }) => server ?? []),
          report,
        )
      } else {
        const made = await configurations(context, choice)
        if (!options.install)
          return json
            ? printJson(terminal, { site, profile: options.profile, configurations: made })
            : print(made, terminal)
        const own = made.filter(({ server }) => server !== null)
        if (own.length === 0)
          fail('USAGE', {
            what: 'the balancer is no server of the fleet: nothing can be installed there',
            next: `onecert config ${site} --part balancer`,
          })
        await install(context, site, own, report)
      }
      if (json) printJson(terminal, { site, servers: done })
    }),
  )
}

function choiceOf(site: string, options: Options): ConfigurationChoice {
  const { server, part, profile, software, bind, httpPort, redirect, offline } = options
  const versions = Object.fromEntries(
    ([...softwareKinds, 'openssl'] as const).flatMap((kind) =>
      options[kind] === undefined ? [] : [[kind, options[kind]]],
    ),
  )
  return {
    site,
    profile,
    versions,
    ask: !offline,
    ...(server !== undefined && { server }),
    ...(part !== undefined && { part }),
    ...(software !== undefined && { software }),
    ...(bind !== undefined && { bind }),
    ...(redirect ? httpPort !== undefined && { httpPort } : { httpPort: null }),
  }
}

/** The text alone goes to stdout, so that it can be written to a file. */
function print(made: readonly Configuration[], terminal: Terminal): void {
  for (const { server, part, software, path, text, unasked } of made) {
    const where = server === null ? `the ${part}` : server
    if (unasked !== null) terminal.err(`${where} could not be asked for its versions: ${unasked}`)
    if (made.length > 1) terminal.out(`# --- ${where} (${software})${path === null ? '' : `: ${path}`}`)
    terminal.out(text)
  }
}

function doneText({ server, path, state }: Configured): string {
  switch (state) {
    case 'installed':
      return `${server}: ${path} is in use, proved by handshake`
    case 'removed':
      return `${server}: ${path} is gone, and the service reloaded`
    case 'absent':
      return `${server}: there is no ${path}`
  }
}

function version(text: string): string {
  if (/^\d+(\.\d+){0,3}$/.test(text)) return text
  throw new InvalidArgumentError('a version such as 1.22.1 is wanted.')
}

function address(text: string): string {
  if (isAddress(text)) return text
  throw new InvalidArgumentError('an IP address is wanted.')
}
