import { InputError, type KubeObject, type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  canonicalIptables,
  DEFAULT_CONFIG,
  readConfig,
  StandAloneKubeProxy,
} from "@cnilab/kube-proxy";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { familyOf, tryParseIp } from "@cnilab/net";
import { findNode, type RenderFlags, readJson, readObjects } from "./render-input.ts";

/** What kube-proxy alone programs, in the canonical order of the golden vectors. @throws InputError */
export async function renderKubeProxy(flags: RenderFlags): Promise<string> {
  const { output } = flags;
  if (output !== "iptables" && output !== "ip6tables") {
    throw new InputError(`kube-proxy has no output "${output}"; it has iptables, ip6tables`, "-o");
  }
  const config =
    flags.config === undefined
      ? DEFAULT_CONFIG
      : readConfig(await readJson(flags.config), flags.config);
  const inputs = [await readObjects(flags.filename)];
  for (const path of flags.then) inputs.push(await readObjects([path]));
  const kernel = machine(flags.node, inputs[0] ?? []);
  const proxy = new StandAloneKubeProxy(kernel.initNs, flags.node, config);
  for (const objects of inputs) proxy.apply(objects);
  return canonicalIptables(kernel.initNs.iptables(output === "iptables" ? 4 : 6).save());
}

/** A machine with the node's addresses on eth0, and nothing else. */
function machine(name: string, objects: readonly KubeObject[]): Kernel {
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
