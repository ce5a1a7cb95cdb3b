import type { KeyObject } from 'node:crypto'
import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { explainRead, readBounded } from '../base/durable.ts'
import { fail, OnecertError } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import { parseCertificates, type X509 } from '../pki/certificate.ts'
import { type Input, sniff } from '../pki/input.ts'
import { parsePrivateKey } from '../pki/key.ts'

/** What lies in one directory, by what the files hold: every ACME client has names of its own for them. */
export interface DirectoryContents {
  readonly files: readonly FileContents[]
  /** Files that hold something, but not (yet) what can be used: half written, encrypted, not readable by us. */
  readonly faults: readonly OnecertError[]
}

export interface FileContents {
  readonly path: string
  /** In the order of the file. */
  readonly certificates: readonly X509[]
  readonly key: Secret<KeyObject> | null
}

/** lego keeps all of its certificates in one directory, four files each. */
const filesMax = 2_000
/** Certificates and keys are a few KiB. */
const fileBytesMax = 256 * 1024
const allBytesMax = 32 * 1024 * 1024

/**
 * Reads the certificates and keys of a directory. Links are followed, as those of certbot's live/ have to be; FIFOs,
 * devices and large files are passed over, and directories are not entered.
 * @throws OnecertError INPUT_NOT_FOUND, INPUT_NOT_A_DIRECTORY, INPUT_UNREADABLE, INPUT_TOO_LARGE
 */
export async function readDirectory(directory: string): Promise<DirectoryContents> {
  const files: FileContents[] = []
  const faults: OnecertError[] = []
  let bytesLeft = allBytesMax
  for (const path of await filesOf(directory)) {
    try {
      const bytes = await readBounded(path, { bytesMax: fileBytesMax })
      bytesLeft -= bytes.length
      if (bytesLeft < 0) tooLarge(directory, `its files have more than ${allBytesMax} bytes together`)
      const contents = contentsOf(bytes, path)
      if (contents) files.push(contents)
    } catch (error) {
      if (!(error instanceof OnecertError) || bytesLeft < 0) throw error
      faults.push(error)
    }
  }
  return { files, faults }
}

async function filesOf(directory: string): Promise<string[]> {
  const paths: string[] = []
  try {
    for await (const entry of await opendir(directory)) {
      // Hidden are what a writer has not finished, and the dated directories behind a Kubernetes mount.
      if (entry.isDirectory() || entry.name.startsWith('.')) continue
      paths.push(join(directory, entry.name))
      if (paths.length > filesMax) tooLarge(directory, `it holds more than ${filesMax} files`)
    }
  } catch (error) {
    throw await explainDirectory(error, directory)
  }
  return paths.sort()
}

async function explainDirectory(error: unknown, directory: string): Promise<unknown> {
  const isFile = await stat(directory).then(
    (facts) => !facts.isDirectory(),
    () => false,
  )
  if (!isFile) return explainRead(error, directory)
  return new OnecertError('INPUT_NOT_A_DIRECTORY', {
    what: `${directory} is a file, not a directory`,
    next: 'name the directory that it is in',
    cause: error,
  })
}

/** Null where it holds neither. @throws OnecertError what is wrong with a file that seems to hold one */
function contentsOf(bytes: Uint8Array, path: string): FileContents | null {
  const labels = labelsOf(bytes, path)
  const hasKey = labels.some((label) => label.endsWith('PRIVATE KEY'))
  const hasCertificate = labels.some((label) => label === 'CERTIFICATE' || label === 'X509 CERTIFICATE')
  if (!hasKey && !hasCertificate) return null
  const name = { file: path }
  return {
    path,
    certificates: hasCertificate ? parseCertificates(bytes, name) : [],
    key: hasKey ? parsePrivateKey(bytes, name) : null,
  }
}

function labelsOf(bytes: Uint8Array, path: string): readonly string[] {
  let input: Input
  try {
    input = sniff(bytes, { file: path })
  } catch (error) {
    // Settings and notes of the client lie there too. An empty file may be one that is just being written.
    if (bytes.length === 0 || Buffer.from(bytes).includes('-----BEGIN ')) throw error
    return []
  }
  return input.form === 'der' ? [input.label] : input.blocks.map(({ label }) => label)
}

function tooLarge(directory: string, fact: string): never {
  fail('INPUT_TOO_LARGE', {
    what: `${directory} is too large`,
    fact,
    next: 'name a directory that holds little more than certificates and keys',
  })
}
