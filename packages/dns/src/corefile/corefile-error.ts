import { InputError } from "@cnilab/core";

/** A word of a Corefile and where it stands. */
export interface Token {
  readonly text: string;
  readonly file: string;
  /** Of its first character, from 1. */
  readonly line: number;
}

/** A Corefile that CoreDNS would not start with. */
export class CorefileError extends InputError {
  override readonly name = "CorefileError";
  readonly file: string;

  constructor(message: string, at: { readonly file: string; readonly line: number }) {
    super(message, `${at.file}:${at.line}`);
    this.file = at.file;
  }
}
