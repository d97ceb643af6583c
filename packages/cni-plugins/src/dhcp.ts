import type { CniCall, CniPlugin } from "@cnilab/core";
import { failure } from "./failure.ts";

/** Asks a daemon on the node, which asks the network; there is neither here. Refuses all but DEL. */
export const dhcp: CniPlugin = {
  type: "dhcp",
  add: refuse,
  del(): void {},
  check: refuse,
};

function refuse(call: CniCall): never {
  throw failure(
    `ipam type dhcp of network ${call.config.name} is not modelled: take host-local or static`,
  );
}
