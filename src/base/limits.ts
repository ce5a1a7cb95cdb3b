/** Limits that more than one room needs; each other limit stands beside its use. */
export const inputBytesMax = 1024 * 1024
