import { CNI_ERROR, CniError } from "@cnilab/core";

/** What the plugin prints when it fails: a Go error's text under the catch-all code. */
export function failure(message: string): CniError {
  return new CniError(CNI_ERROR.generic, message);
}
