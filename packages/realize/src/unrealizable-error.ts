/** State that cannot be made of real devices; the message names it. */
export class UnrealizableError extends Error {
  override readonly name = "UnrealizableError";
}
