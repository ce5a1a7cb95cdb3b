const nobody = 65_534

/** Runs as an account that owns nothing: root may read and write everything, and would see no refusal. */
export async function asNobody<T>(act: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0 || !process.seteuid || !process.setegid) return act()
  process.setegid(nobody)
  process.seteuid(nobody)
  try {
    return await act()
  } finally {
    process.seteuid(0)
    process.setegid(0)
  }
}

/** Runs with a umask that somebody else chose. */
export async function underUmask<T>(mask: number, act: () => Promise<T>): Promise<T> {
  const before = process.umask(mask)
  try {
    return await act()
  } finally {
    process.umask(before)
  }
}
