import { stripVTControlCharacters } from 'node:util'

const gap = '  '

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const width = (text: string) => stripVTControlCharacters(text).length
  const widths = header.map((title, at) => Math.max(width(title), ...rows.map((row) => width(row[at] ?? ''))))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => (at === header.length - 1 ? cell : cell + ' '.repeat((widths[at] ?? 0) - width(cell))))
      .join(gap)
      .trimEnd()
  return [line(header), ...rows.map(line)]
}
