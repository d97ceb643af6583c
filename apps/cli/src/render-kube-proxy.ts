import { InputError } from "@cnilab/core";
import {
  canonicalAddrs,
  canonicalIpset,
  canonicalIptables,
  canonicalIpvs,
  canonicalIpvsIptables,
  canonicalNftables,
  DEFAULT_CONFIG,
  type KubeProxyMode,
  readConfig,
  StandAloneKubeProxy,
} from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";
import type { ProgramIo } from "./program-io.ts";
import { type RenderFlags, readJson, readObjects } from "./render-input.ts";
import { renderMachine } from "./render-machine.ts";

/** What each mode leaves in the kernel, by `-o`. */
const OUTPUTS: Readonly<Record<KubeProxyMode, Readonly<Record<string, Output>>>> = {
  iptables: {
    iptables: (netns) => canonicalIptables(netns.iptables(4).save()),
    ip6tables: (netns) => canonicalIptables(netns.iptables(6).save()),
  },
  nftables: {
    nftables: (netns) => netns.nftables.list(),
    "nftables-json": (netns) => canonicalNftables(netns.nftables.json()),
  },
  ipvs: {
    ipvs: (netns) => canonicalIpvs(netns.ipvs.save()),
    ipset: (netns) => canonicalIpset(netns.ipsets.save()),
    iptables: (netns) => canonicalIpvsIptables(netns.iptables(4).save()),
    ip6tables: (netns) => canonicalIpvsIptables(netns.iptables(6).save()),
    addrs: (netns) => canonicalAddrs(netns),
  },
};
type Output = (netns: NetNamespace) => string;

/** What kube-proxy alone programs, in the canonical order of the golden vectors. @throws InputError */
export async function renderKubeProxy(io: ProgramIo, flags: RenderFlags): Promise<string> {
  const { mode, print } = chooseOutput(flags);
  const config =
    flags.config === undefined
      ? DEFAULT_CONFIG
      : readConfig(await readJson(io, flags.config), flags.config);
  const inputs = [await readObjects(io, flags.filename)];
  for (const path of flags.then) inputs.push(await readObjects(io, [path]));
  const kernel = renderMachine(flags.node, inputs[0] ?? []);
  const proxy = new StandAloneKubeProxy(kernel.initNs, flags.node, { ...config, mode });
  for (const objects of inputs) proxy.apply(objects);
  return print(kernel.initNs);
}

function chooseOutput({ proxyMode, output }: RenderFlags): {
  readonly mode: KubeProxyMode;
  readonly print: Output;
} {
  const modes = (Object.keys(OUTPUTS) as KubeProxyMode[]).filter((m) => (proxyMode ?? m) === m);
  for (const mode of modes) {
    const print = OUTPUTS[mode][output];
    if (print !== undefined) return { mode, print };
  }
  const known = [...new Set(modes.flatMap((mode) => Object.keys(OUTPUTS[mode])))].join(", ");
  const where = proxyMode === undefined ? "" : ` in mode ${proxyMode}`;
  throw new InputError(`kube-proxy has no output "${output}"${where}; it has ${known}`, "-o");
}
