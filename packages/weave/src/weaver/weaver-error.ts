/** What keeps weaver from starting, in the words of its log. */
export class WeaverError extends Error {
  override readonly name = "WeaverError";
}
