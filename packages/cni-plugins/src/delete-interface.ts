import type { CniCall } from "@cnilab/core";
import {
  type InterfaceAddress,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
} from "@cnilab/net";
import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";
import { findSandbox } from "./sandbox-netns.ts";

/**
 * DEL: removes the container's interface, if it and its namespace are still there.
 * @returns the global unicast addresses that it had, none where there was no such interface; `undefined`
 *   where there is no namespace any more
 * @throws CniError for `lo`, which cannot go
 */
export function deleteInterface(call: CniCall): InterfaceAddress[] | undefined {
  const sandbox = findSandbox(call);
  if (sandbox === undefined) return undefined;
  const dev = sandbox.findDevice(call.ifName);
  if (dev === undefined) return [];
  if (dev.isLoopback) throw failure(`failed to delete ${quote(dev.name)}: operation not supported`);
  const addresses: InterfaceAddress[] = [];
  for (const { address, prefixLength: length } of dev.addresses) {
    const global =
      !isLinkLocal(address) &&
      !isLoopback(address) &&
      !isMulticast(address) &&
      !isUnspecified(address);
    if (global) addresses.push({ address, length });
  }
  dev.remove();
  return addresses;
}
