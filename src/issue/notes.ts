/** What issuers keep between runs; the store is where. JSON texts, not secret. */
export interface Notes {
  note(kind: string, name: string): Promise<string | null>
  /** In one go for all processes; null takes the note away. Durable before it resolves. */
  changeNote(kind: string, name: string, change: (body: string | null) => string | null): Promise<string | null>
}

/** Notes of one kind and shape, by name. */
export interface Shelf<Body> {
  read(name: string): Promise<Body | null>
  write(name: string, body: Body): Promise<void>
  change(name: string, change: (body: Body | null) => Body | null): Promise<Body | null>
  remove(name: string): Promise<void>
}

export function shelf<Body>(notes: Notes, kind: string): Shelf<Body> {
  const read = (body: string | null) => (body === null ? null : (JSON.parse(body) as Body))
  return {
    read: async (name) => read(await notes.note(kind, name)),
    write: async (name, body) => void (await notes.changeNote(kind, name, () => JSON.stringify(body))),
    change: async (name, change) =>
      read(
        await notes.changeNote(kind, name, (before) => {
          const after = change(read(before))
          return after === null ? null : JSON.stringify(after)
        }),
      ),
    remove: async (name) => void (await notes.changeNote(kind, name, () => null)),
  }
}
