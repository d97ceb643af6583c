import { Data } from "@cnilab/net";

/** Application data that means something to who receives it; on the wire it is so many bytes. */
export class Message extends Data {
  readonly message: unknown;

  constructor(length: number, message: unknown) {
    super(length);
    this.message = message;
  }
}
