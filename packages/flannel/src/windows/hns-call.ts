import { HcnError } from "@cnilab/windows";
import { FlanneldError } from "../lease/subnet-manager.ts";

/** Calls HNS; what that refuses ends the daemon. @throws FlanneldError */
export function hnsCall<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof HcnError)) throw error;
    throw new FlanneldError(`failed to ${what}: ${error.message}`, { cause: error });
  }
}
