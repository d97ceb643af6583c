import type { Ipv4Address } from "@cnilab/net";

/** Something that may have to wait for another peer. */
export interface Operation {
  /** What it is for: a container's id, or a name as `weave:expose`. */
  readonly ident: string;
  /** The subnet that an address is wanted of, or the address itself, with the length of its prefix. */
  readonly subject: string;
  /** @returns whether it has ended, well or not */
  attempt(): boolean;
  cancel(): void;
}

/** How an operation ended. */
export type Allocated = (result: Ipv4Address | Error) => void;
export type Claimed = (error: Error | undefined) => void;

export function cancelled(kind: "Allocate" | "Claim", ident: string): Error {
  return new Error(`${kind} request for ${ident} cancelled`);
}
