import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const pages = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: root }).sort()
const launcher = join(root, 'bin', 'onecert')
const fence = /^ *```[^\n]*\n([\s\S]*?)^ *```$/gm

interface Found {
  readonly text: string
  /** `README.md:12` */
  readonly place: string
}

/** Every match in a page, with its line; the first group that took part, else the whole match. */
function findAll(page: string, text: string, pattern: RegExp): Found[] {
  return [...text.matchAll(pattern)].map((match) => ({
    text: match.slice(1).find((group) => group !== undefined) ?? match[0],
    place: `${page}:${text.slice(0, match.index).split('\n').length}`,
  }))
}

/** Without code, but with its line ends, so that lines keep their numbers. */
function prose(page: string): string {
  const lineEnds = (text: string) => text.replaceAll(/[^\n]/g, '')
  return read(page)
    .replaceAll(fence, lineEnds)
    .replaceAll(/`[^`]*`/g, lineEnds)
}

function linksOf(page: string): Found[] {
  const text = prose(page)
  return [
    /\]\(([^)\s]+)[^)]*\)/g,
    /<(?:img|source)\b[^>]*\ssrc(?:set)?="([^"]+)"/g,
    /<a\b[^>]*\shref="([^"]+)"/g,
  ].flatMap((pattern) => findAll(page, text, pattern))
}

/** As GitHub makes them from headings. */
function anchorsOf(page: string): string[] {
  const withoutFences = read(page).replaceAll(fence, '')
  return [...withoutFences.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** Fenced blocks line by line, and code in the text. */
function codeOf(page: string): Found[] {
  const text = read(page)
  const blocks = [...text.matchAll(fence)].flatMap((match) => {
    const first = text.slice(0, match.index).split('\n').length + 1
    return (match[1] ?? '').split('\n').map((line, at) => ({ text: line, place: `${page}:${first + at}` }))
  })
  const inText = text.replaceAll(fence, (block) => block.replaceAll(/[^\n]/g, ''))
  return [...blocks, ...findAll(page, inText, /`([^`]+)`/g)]
}

test('every relative link and picture of a page exists, also its heading', () => {
  const missing: string[] = []
  let seen = 0
  for (const page of pages) {
    for (const { text: link, place } of linksOf(page)) {
      if (/^[a-z]+:/.test(link)) continue
      seen += 1
      const [path = '', anchor] = decodeURI(link).split('#')
      const target = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(root, target))) missing.push(`${place}: ${link}`)
      else if (anchor !== undefined && !anchorsOf(target).includes(anchor))
        missing.push(`${place}: ${link}: no heading`)
    }
  }
  assert.ok(seen >= 10, `only ${seen} links were found`)
  assert.deepEqual(missing, [])
})

test('every npm script and every program of ours that a page names is there', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const unknown: string[] = []
  let seen = 0
  for (const { text, place } of pages.flatMap(codeOf)) {
    for (const [, name = ''] of text.matchAll(/\bnpm run (?:-\S+ )*([a-z][\w:-]*)/g)) {
      seen += 1
      if (scripts[name] === undefined) unknown.push(`${place}: npm run ${name}`)
    }
    if (/\bnpm test\b/.test(text) && scripts.test === undefined) unknown.push(`${place}: npm test`)
    for (const [, file = ''] of text.matchAll(/\bnode ((?:bin|src|test|tools|bench)\/\S+?\.ts)\b/g)) {
      if (!existsSync(join(root, file))) unknown.push(`${place}: node ${file}`)
    }
  }
  assert.ok(seen >= 5, `only ${seen} scripts were named`)
  assert.deepEqual(unknown, [])
})

/** What a command's own help says of it. */
interface Help {
  readonly commands: readonly string[]
  /** With their long names; true where a value follows. */
  readonly options: ReadonlyMap<string, boolean>
  readonly takesArguments: boolean
}

const asked = new Map<string, Promise<Help>>()

function helpOf(path: readonly string[]): Promise<Help> {
  const known = asked.get(path.join(' ')) ?? askHelp(path)
  asked.set(path.join(' '), known)
  return known
}

async function askHelp(path: readonly string[]): Promise<Help> {
  const { stdout } = await promisify(execFile)(process.execPath, [launcher, ...path, '--help'], { timeout: 20_000 })
  const [usage = ''] = stdout.split('\n\n')
  const [, list = ''] = /^Commands:\n((?: .*\n)*)/m.exec(stdout) ?? []
  const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)( <[^>]+>)?/gm)]
  return {
    commands: [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = '']) => name),
    options: new Map(options.map(([, name = '', value]) => [name, value !== undefined])),
    takesArguments: /[<[]/.test(usage.replaceAll(/\[(?:options|command)\]/g, '')),
  }
}

/** Commands at the place of a command: at the start of a line or behind `;`, `&&`, `:`, `$` or `(`, up to the next sign of a shell. */
const onecertWords = /(?:^|[;:($]|&&)\s*(?:bin\/)?onecert((?: +[^\s;|&>()#…]+)+)/g

/** A name that a local CA has by default. */
const noCommand = 'onecert local CA'

/** Why the words are no command of the real CLI; null where they are, or where they are not to be judged. */
async function refusal(words: readonly string[]): Promise<string | null> {
  const { options: globals } = await helpOf([])
  const path: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    const help = await helpOf(path)
    if (word.startsWith('--')) {
      const [name = ''] = word.split('=')
      const takesValue = help.options.get(name) ?? globals.get(name)
      if (takesValue === undefined) return `onecert ${path.join(' ')} has no option ${name}`
      if (takesValue && !word.includes('=')) at += 1
    } else if (help.commands.includes(word)) path.push(word)
    // A name in capitals stands for something else, as does a variable.
    else if (!/^[a-z][a-z-]*$/.test(word) && path.length === 0) return null
    else if (!help.takesArguments) return `onecert ${[...path, word].join(' ')} is no command`
  }
  return null
}

test('every onecert command that a page names is one of the real CLI, with its options', async () => {
  const unknown: string[] = []
  let seen = 0
  for (const { text, place } of pages.flatMap(codeOf)) {
    for (const [, rest = ''] of text.replace(noCommand, '').matchAll(onecertWords)) {
      const words = rest.trim().split(/ +/)
      seen += 1
      const why = await refusal(words)
      if (why !== null) unknown.push(`${place}: ${why}`)
    }
  }
  assert.ok(seen >= 30, `only ${seen} commands were found`)
  assert.deepEqual(unknown, [])
})

test('a command, a subcommand and an option that the CLI does not have are found', async () => {
  assert.equal(await refusal(['approve']), 'onecert approve is no command')
  assert.equal(await refusal(['server', 'drop', 'eu-1']), 'onecert server drop is no command')
  assert.equal(await refusal(['apply', '--fast']), 'onecert apply has no option --fast')
  assert.equal(await refusal(['--fleet', 'other.yaml', 'apply', 'www', '--server', 'eu-1']), null)
  assert.deepEqual(
    [...'$ onecert plan; onecert apply'.matchAll(onecertWords)].map(([, rest]) => rest),
    [' plan', ' apply'],
  )
})
