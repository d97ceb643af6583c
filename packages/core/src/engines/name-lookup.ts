import type { IpAddress } from "@cnilab/net";
import type { ProgramContext } from "./container-program.ts";

/**
 * Finds the addresses of a name as a program in a container does, by its resolv.conf; `done` is told none where there are none. Answers may come
 * at once or later on the clock.
 */
export type NameLookup = (
  context: ProgramContext,
  name: string,
  done: (addresses: readonly IpAddress[]) => void,
  /** The kernel's record of the packets, where somebody wants one. */
  trace?: unknown,
) => void;
