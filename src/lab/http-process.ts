import { createServer } from 'node:http'
import { serveUntilAlone } from './pair.ts'

/** An upstream behind a terminating proxy: plain HTTP, no key. Arguments: NAME ADDRESS PORT PIDFILE */
const [name = '', address = '', port = '', pidFile = ''] = process.argv.slice(2)

serveUntilAlone(pidFile, () => {})
createServer((_, answer) => answer.end(`${name}\n`)).listen(Number(port), address)
