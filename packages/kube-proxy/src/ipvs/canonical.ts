import type { NetNamespace } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { canonicalIptables } from "../iptables/canonical.ts";
import { DUMMY_DEVICE } from "./ipvs-proxier.ts";

// The canonical forms of IPVS mode: orders that two runs agree on

/** Rules of load balancers that the node must not use: the real program's order is a Go map's. */
const UNORDERED: ReadonlySet<string> = new Set(["KUBE-IPVS-OUT-FILTER"]);

/** iptables-save text; see {@link canonicalIptables}. Rules keep their order in nearly all chains. */
export function canonicalIpvsIptables(text: string): string {
  return canonicalIptables(text, UNORDERED);
}

/** `ipvsadm -Sn` with services sorted as text, and the real servers of each. */
export function canonicalIpvs(text: string): string {
  const blocks = text.split(/^(?=-A )/m).map((block) => {
    const [service = "", ...servers] = block.trimEnd().split("\n");
    return [service, ...servers.sort()].join("\n");
  });
  return lines(blocks.filter((b) => b !== "").sort());
}

/** `ipset save` with sets by name, entries sorted as text, and without their random `initval`. */
export function canonicalIpset(text: string): string {
  const blocks = text.split(/^(?=create )/m).map((block) => {
    const [create = "", ...entries] = block.trimEnd().split("\n");
    return { name: create.split(" ")[1] ?? "", create, entries };
  });
  return lines(
    blocks
      .filter((b) => b.create !== "")
      .sort((x, y) => (x.name < y.name ? -1 : 1))
      .flatMap(({ create, entries }) => [
        create.replace(/ initval 0x[0-9a-f]+/, ""),
        ...entries.sort(),
      ]),
  );
}

/** The addresses that kube-proxy has put on its dummy device. */
export function canonicalAddrs(netns: NetNamespace): string {
  const dummy = netns.findDevice(DUMMY_DEVICE);
  const addresses = dummy?.addresses.filter(({ scope }) => scope === 0) ?? [];
  return lines(
    addresses.map(({ address, prefixLength }) => `${formatIp(address)}/${prefixLength}`).sort(),
  );
}

function lines(all: readonly string[]): string {
  return all.length === 0 ? "" : `${all.join("\n")}\n`;
}
