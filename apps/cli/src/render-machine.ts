import { type KubeObject, type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { familyOf, tryParseIp } from "@cnilab/net";
import { findNode } from "./render-input.ts";

/** A machine with the node's addresses on eth0, and nothing else. */
export function renderMachine(name: string, objects: readonly KubeObject[]): Kernel {
  const nodes = objects.filter((o): o is Node => o.kind === "Node");
  const node = nodes.length > 0 ? findNode(nodes, name) : undefined;
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), name);
  kernel.initNs.loopback.setUp();
  const eth0 = new Dummy(kernel.initNs, { name: "eth0" });
  eth0.setUp();
  for (const { type, address } of node?.status?.addresses ?? []) {
    const ip = type === "InternalIP" ? tryParseIp(address) : undefined;
    if (ip !== undefined) eth0.addAddress(ip, familyOf(ip) === 4 ? 24 : 64);
  }
  return kernel;
}
