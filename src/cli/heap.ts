import { setFlagsFromString } from 'node:v8'

/**
 * For work that goes on for long and keeps nothing. V8 lets garbage grow to four times what lives, and its young generation to
 * a hundred megabytes; it looks at both of these numbers at each collection.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=50')
}
