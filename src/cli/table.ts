import { stripVTControlCharacters } from 'node:util'

/**
 * Columns as wide as their widest cell; the last one is not padded. Where they do not fit onto a terminal, they come
 * closer, and a last cell that is too long stands below its line.
 * @param columnsMax of the terminal; null: nobody looks, and each row is one line
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columnsMax: number | null = null,
): string[] {
  const width = (text: string) => stripVTControlCharacters(text).length
  const widths = header.map((title, at) => Math.max(width(title), ...rows.map((row) => width(row[at] ?? ''))))
  const wide = widths.slice(0, -1).reduce((sum, each) => sum + each, 0) + 2 * (widths.length - 2)
  const gap = columnsMax !== null && wide > columnsMax ? ' ' : '  '
  const folded = (cells: readonly string[]) => {
    const whole = line(cells)
    const last = cells[header.length - 1] ?? ''
    if (columnsMax === null || last === '' || width(whole) <= columnsMax) return [whole]
    return [line(cells.slice(0, -1)), `  ${last}`]
  }
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => (at === header.length - 1 ? cell : cell + ' '.repeat((widths[at] ?? 0) - width(cell))))
      .join(gap)
      .trimEnd()
  return [line(header), ...rows.flatMap(folded)]
}
