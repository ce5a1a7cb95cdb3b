import { InvalidArgumentError } from 'commander'
import { counted } from '../pki/text.ts'

/** Of a certificate: whole days until it expires, rounded down. */
export function daysText(days: number): string {
  return days < 0 ? 'expired' : `${counted(days, 'day')} left`
}

/** A parser for an option: a whole number in a range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min} to ${max} is wanted.`)
    }
    return value
  }
}
