import { inspect } from 'node:util'

/** A value that must not be seen: printing, logging or serialising it shows `[secret]`. `reveal()` is the only door. */
export class Secret<T> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** Each call is a place to review: the value must go to a key operation, the vault or a secured tunnel, nowhere else. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
