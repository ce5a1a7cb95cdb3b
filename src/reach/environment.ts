const allowed = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TMPDIR', 'SSH_AUTH_SOCK']

/** What a child process may see of our environment: an allow-list, so that nothing that somebody put there travels. */
export function childEnvironment(): Record<string, string> {
  return Object.fromEntries(allowed.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}
