/** For how long a receiver waits at most, in seconds; `receiver/` has each as NAME_seconds. */
export const receiverSeconds = {
  /** The service's own test, and each command that prints or copies its configuration. */
  test: 30,
  /** Reload and start, each. */
  reload: 60,
  /** An answer of HAProxy at its socket. */
  socket: 15,
  /** The search for private keys. */
  search: 60,
  /** Somebody else's rollback that is under way. */
  settle: 40,
  /** A program that says its version. */
  version: 10,
  probe: 10,
} as const

/** Programs that `versions` asks. */
const programs = 7
/** `ready` asks a balancer that says nothing so often, a second apart (receiver/balancer.sh, `session_pauses`). */
const readyTries = 5

/** What has no limit of its own: a slow disk, flushes, a network that stands still for a moment. */
const slackMs = 120_000

/** What a verb may take besides, in seconds: the sum of what it waits for where all of it takes as long as it may. */
const verbSeconds: Readonly<Record<string, number>> = worstCases(receiverSeconds)

/** @param seconds tests have shorter ones */
export function worstCases(seconds: Readonly<Record<keyof typeof receiverSeconds, number>>): Record<string, number> {
  const { test, reload, socket, search, settle, version, probe } = seconds
  // The list of certificates, and of one of them: set, commit, abort. Only then a reload.
  const reloadService = 4 * socket + reload
  // Where the memory refuses the old files, the reload is tried as well; where that fails, the start.
  const undo = reloadService + reload
  // Also before it: what a session that died left is brought back first, and tested. Its failure ends with the old file.
  const include = test + 2 * test + 2 * reload + reload
  const ready = readyTries * 2 * socket + (readyTries - 1) + socket
  return {
    begin: settle + undo,
    // In a namespace; then on a copy with the new files and with the old ones: copied, searched, tested.
    try: test + 2 * (3 * test),
    test,
    reload: reloadService,
    start: reload,
    drop: test,
    release: test,
    include,
    exclude: include,
    unincluded: reload,
    versions: programs * version,
    discover: test,
    keys: search,
    probe,
    sessions: socket,
    ready,
    drain: 3 * socket + ready,
  }
}

/** How long to wait for the answer to a verb, in milliseconds. */
export function answerWithinMs(verb: string): number {
  return (verbSeconds[verb] ?? 0) * 1000 + slackMs
}
