/** RFC 8659 section 4.2: what CAA records and those of dns-persist-01 say. */
export interface IssueValue {
  /** Lower case; the empty text is nobody. */
  readonly issuerDomain: string
  /** Tags as they are written. */
  readonly parameters: ReadonlyMap<string, string>
}

const domain = /^(?:[a-z0-9](?:-*[a-z0-9])*(?:\.[a-z0-9](?:-*[a-z0-9])*)*)?$/
const parameter = /^([A-Za-z0-9](?:-*[A-Za-z0-9])*)[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)$/

/** Or what is wrong with it. A tag that comes twice makes the whole malformed (draft-ietf-acme-dns-persist-02 section 9.3.1). */
export function parseIssueValue(text: string): IssueValue | { readonly defect: string } {
  const [first = '', ...rest] = text.split(';').map((each) => each.replace(/^[ \t]+|[ \t]+$/g, ''))
  const issuerDomain = first.toLowerCase()
  if (!domain.test(issuerDomain)) return { defect: 'it does not begin with a domain name' }
  const parameters = new Map<string, string>()
  // A single semicolon may stand with nothing behind it.
  for (const each of rest.length === 1 && rest[0] === '' ? [] : rest) {
    const [, tag = '', value = ''] = parameter.exec(each) ?? []
    if (tag === '') return { defect: 'it is no list of tag=value with semicolons between them' }
    if (parameters.has(tag)) return { defect: `it has ${tag} twice` }
    parameters.set(tag, value)
  }
  return { issuerDomain, parameters }
}
