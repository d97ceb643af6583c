import type { CniCall } from "@cnilab/core";
import type { Kernel, NetNamespace } from "@cnilab/linux";
import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";

/** The machine that a plugin runs on. @throws CniError where it is not a Linux */
export function kernelOf(call: CniCall): Kernel {
  if (call.host.os !== "linux") {
    throw failure(`plugin ${call.config.type} runs on Linux, ${call.host.hostname} is not one`);
  }
  return call.host as Kernel;
}

/** The namespace that `CNI_NETNS` names, if it is still there. */
export function findSandbox(call: CniCall): NetNamespace | undefined {
  return call.netns === "" ? undefined : kernelOf(call).findNamespace(call.netns);
}

/** The namespace that `CNI_NETNS` names, for a plugin that says nothing itself about its absence. @throws CniError */
export function enterSandbox(call: CniCall): NetNamespace {
  const netns = findSandbox(call);
  if (netns === undefined) throw failure(absent(call));
  return netns;
}

/** As {@link enterSandbox}, with the words of the plugins that open it first. @throws CniError */
export function openSandbox(call: CniCall): NetNamespace {
  const netns = findSandbox(call);
  if (netns === undefined)
    throw failure(`failed to open netns ${quote(call.netns)}: ${absent(call)}`);
  return netns;
}

/** containernetworking/plugins pkg/ns IsNSorErr */
function absent(call: CniCall): string {
  return `failed to Statfs ${quote(call.netns)}: no such file or directory`;
}
