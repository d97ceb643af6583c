import type { NetNamespace } from "@cnilab/linux";

/** `iptables-save` and `ipset save` as the vectors keep them, a line each. */
export interface NetfilterDump {
  readonly iptables: readonly string[];
  readonly ipset: readonly string[] | null;
}

/** Chains whose rules the real one makes in no certain order. */
const UNORDERED = /^-A (WEAVE-NPC-INGRESS|WEAVE-NPC-EGRESS-CUSTOM|WEAVE-NPC-DEFAULT) /;

export function dump(netns: NetNamespace): NetfilterDump {
  const iptables = netns.iptables(4);
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  return {
    iptables: ["filter", "nat"].flatMap((table) => lines(iptables.save(table))),
    ipset: lines(netns.ipsets.save()),
  };
}

/** Without what is the kernel's own affair: sizes of hash tables, the order of a set's elements. */
export function canonical({ iptables, ipset }: NetfilterDump): NetfilterDump {
  const rules = iptables.map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
  const sets = (ipset ?? []).map((line) =>
    line.replace(/ (initval 0x[0-9a-f]+|hashsize \d+|bucketsize \d+)/g, "").trimEnd(),
  );
  return {
    iptables: [
      ...rules.filter((line) => !UNORDERED.test(line)),
      ...rules.filter((line) => UNORDERED.test(line)).sort(),
    ],
    ipset: sets.sort(),
  };
}

export function dumpDifference(want: NetfilterDump, got: NetfilterDump): string | undefined {
  const [wanted, gotten] = [canonical(want), canonical(got)];
  const missing: string[] = [];
  for (const part of ["iptables", "ipset"] as const) {
    const [x, y] = [wanted[part] ?? [], gotten[part] ?? []];
    if (x.join("\n") === y.join("\n")) continue;
    missing.push(
      ...x.filter((line) => !y.includes(line)).map((line) => `- ${line}`),
      ...y.filter((line) => !x.includes(line)).map((line) => `+ ${line}`),
      `${part}: ${x.length} lines wanted, ${y.length} got`,
    );
  }
  return missing.length === 0 ? undefined : missing.join("\n");
}
