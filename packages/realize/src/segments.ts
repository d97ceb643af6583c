import type { Network, Nic, Segment } from "@cnilab/linux";
import { segmentsOf } from "./namespace-names.ts";
import { UnrealizableError } from "./unrealizable-error.ts";

/** What a device is called in the namespace of its segment: `node1.eth0` may be longer than a name can be. */
export type WireNames = ReadonlyMap<Nic, string>;

export function wireNames(network: Network): WireNames {
  const wires = new Map<Nic, string>();
  for (const segment of segmentsOf(network)) {
    for (const nic of segment.nics) wires.set(nic, `w${wires.size + 1}`);
  }
  return wires;
}

/**
 * The MTU of a segment's end of a cable. A frame that is longer is lost there without a word, but the kernel
 * leaves room for a VLAN tag (`is_skb_forwardable`).
 */
export function wireMtu({ mtu }: Segment): number {
  return mtu >= 65535 ? 65535 : Math.max(68, mtu - VLAN_HLEN);
}

const VLAN_HLEN = 4;

/** `ip link …`: the switch, which needs to know nothing of groups. */
export function switchLines(): string[] {
  return [
    "link add name wire mtu 65535 type bridge",
    "link set dev wire type bridge mcast_snooping 0",
    "link set dev wire up",
  ];
}

/** `ip link …`, once all NICs are there. */
export function plugLines(segment: Segment, wires: WireNames): string[] {
  return [...segment.nics].map((nic) => `link set dev ${wires.get(nic)} master wire up`);
}

/** `nft -f` text: what is lost between two NICs, and what is to be delayed, by a mark. */
export function faultRules(segment: Segment, wires: WireNames): string {
  const lines: string[] = [];
  for (const { from, to, fault } of segment.faults) {
    const pair = `\t\tiifname "${wires.get(from)}" oifname "${wires.get(to)}"`;
    if (fault.cut) lines.push(`${pair} drop`);
    else if (fault.loss) {
      lines.push(`${pair} numgen random mod 1000000 < ${Math.round(fault.loss * 1e6)} drop`);
    }
    if (fault.delayMs) lines.push(`${pair} meta mark set ${bandOf(segment, from, to)}`);
  }
  if (lines.length === 0) return "";
  return `table bridge faults {\n\tchain forward {\n\t\ttype filter hook forward priority -200;\n${lines.join("\n")}\n\t}\n}\n`;
}

/** `tc …`: a band for each NIC whose frames to another are delayed, besides the one for the rest. */
export function delayLines(segment: Segment, wires: WireNames): string[] {
  return [...segment.nics].flatMap((to) => {
    const sources = delayedTo(segment, to);
    if (sources.length === 0) return [];
    if (sources.length >= TCQ_PRIO_BANDS) {
      throw new UnrealizableError(
        `segment ${segment.name}: frames from ${sources.length} machines to ${to.netns}/${to.name} are delayed, at most ${TCQ_PRIO_BANDS - 1} can be`,
      );
    }
    const dev = `dev ${wires.get(to)}`;
    return [
      `qdisc add ${dev} root handle 1: prio bands ${Math.max(2, sources.length + 1)} priomap${" 0".repeat(16)}`,
      ...sources.flatMap(({ from, delayMs }) => {
        const band = bandOf(segment, from, to);
        return [
          `qdisc add ${dev} parent 1:${band + 1} netem delay ${delayMs}ms limit 100000`,
          `filter add ${dev} parent 1: protocol all handle ${band} fw classid 1:${band + 1}`,
        ];
      }),
    ];
  });
}

const TCQ_PRIO_BANDS = 16;

function delayedTo(segment: Segment, nic: Nic): { from: Nic; delayMs: number }[] {
  return [...segment.faults].flatMap(({ from, to, fault }) =>
    to === nic && fault.delayMs ? [{ from, delayMs: fault.delayMs }] : [],
  );
}

function bandOf(segment: Segment, from: Nic, to: Nic): number {
  return 1 + delayedTo(segment, to).findIndex((source) => source.from === from);
}
