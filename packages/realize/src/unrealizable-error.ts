/** State that cannot be made of real devices, or cannot be made or taken away here; the message names it. */
export class UnrealizableError extends Error {
  override readonly name = "UnrealizableError";
}
