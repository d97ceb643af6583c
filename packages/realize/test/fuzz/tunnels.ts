import {
  Geneve,
  IpTunnel,
  type Kernel,
  type NetDevice,
  type NetNamespace,
  Wireguard,
} from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { addressIn, lengthOf, prefixOf } from "./topology.ts";

export type TunnelKind = "ipip" | "sit" | "geneve" | "wireguard";

/**
 * A tunnel `t<subnet>` between addresses that the ends have on other subnets; .1 and .2 inside, of the
 * families that it carries.
 */
export interface TunnelStep {
  readonly do: "tunnel";
  readonly kind: TunnelKind;
  readonly ends: readonly [string, string];
  readonly local: readonly [string, string];
  readonly subnet: number;
  readonly mtu?: number;
  /** Of the outer packet. */
  readonly ttl?: number;
  /** Both ends' allowed IPs of the other, beside the tunnel's own subnet: WireGuard only. */
  readonly allowed?: readonly [readonly string[], readonly string[]];
}

/** The families that a kind carries. */
export const FAMILIES: Readonly<Record<TunnelKind, readonly (4 | 6)[]>> = {
  ipip: [4],
  sit: [6],
  geneve: [4, 6],
  wireguard: [4, 6],
};

export function addTunnel(kernel: Kernel, step: TunnelStep): void {
  const [one, two] = step.ends.map((name) => kernel.findNamespace(name));
  if (one === undefined || two === undefined) return; // its namespace was cut away
  for (const [i, netns] of [one, two].entries()) {
    const dev = endOf(step, netns, i as 0 | 1);
    dev.setUp();
    for (const family of FAMILIES[step.kind]) {
      dev.addAddress(parseIp(addressIn(family, step.subnet, 1 + i)), lengthOf(family));
    }
  }
}

function endOf(step: TunnelStep, netns: NetNamespace, i: 0 | 1): NetDevice {
  const { kind, subnet, ttl, mtu } = step;
  const local = parseIp(step.local[i]);
  const remote = parseIp(step.local[1 - i] as string);
  const common = {
    name: `t${subnet}`,
    ...(mtu === undefined ? {} : { mtu }),
    ...(ttl === undefined ? {} : { ttl }),
  };
  switch (kind) {
    case "ipip":
    case "sit":
      return new IpTunnel(netns, { ...common, kind, local: Number(local), remote: Number(remote) });
    case "geneve":
      return new Geneve(netns, { ...common, vni: subnet, remote });
    case "wireguard": {
      const dev = new Wireguard(netns, {
        ...common,
        publicKey: keyOf(step, i),
        listenPort: portOf(step),
      });
      const own = ([4, 6] as const).map((family) => prefixOf(family, subnet));
      dev.setPeer({
        publicKey: keyOf(step, (1 - i) as 0 | 1),
        endpoint: { address: remote, port: portOf(step) },
        allowedIps: [...own, ...(step.allowed?.[i] ?? [])].map((text) => parsePrefix(text)),
        persistentKeepalive: 0,
      });
      return dev;
    }
  }
}

function keyOf({ subnet }: TunnelStep, i: 0 | 1): string {
  return `end ${i} of ${subnet}`;
}

function portOf({ subnet }: TunnelStep): number {
  return 51820 + subnet;
}
