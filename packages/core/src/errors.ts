/**
 * Input that a person can mend: a manifest, an option, an address. The message is one sentence with
 * what is wrong, where, and what was expected.
 */
export class InputError extends Error {
  override readonly name: string = "InputError";
  /** File, line or object, as `pods.yaml:12` or `Service default/web`; empty when it is not known. */
  readonly where: string;

  constructor(message: string, where = "", options?: ErrorOptions) {
    super(where === "" ? message : `${where}: ${message}`, options);
    this.where = where;
  }
}
