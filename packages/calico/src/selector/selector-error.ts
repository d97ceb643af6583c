/** A selector that cannot be read; the message is that of Calico's parser. */
export class SelectorError extends Error {
  override name = "SelectorError";
}
