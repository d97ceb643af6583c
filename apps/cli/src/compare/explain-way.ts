import { outerBytes } from "@cnilab/inspect";
import type { Comparison } from "./comparison.ts";
import type { ConnectionFigures, WalkFigures } from "./finding.ts";
import { alike, listed } from "./names-in-text.ts";

type Named = readonly (readonly [name: string, figures: ConnectionFigures])[];

/** The ways in full, and what stands around packets on them. */
export function explainWay(comparison: Comparison): string[] {
  const near = named(
    comparison,
    comparison.sameNode?.found.map((walk) => walk?.direct),
  );
  const far = named(
    comparison,
    comparison.acrossNodes?.found.map((walk) => walk?.direct),
  );
  return [...paths(far), ...sameNode(near), ...encapsulation(far)];
}

/** Those that have figures. */
export function named(
  { findings }: Comparison,
  found: readonly (ConnectionFigures | undefined)[] = [],
): Named {
  return found.flatMap((figures, i) => {
    const name = findings[i]?.cni.label;
    return figures === undefined || name === undefined ? [] : [[name, figures] as const];
  });
}

function who(all: Named, group: readonly number[]): string {
  return listed(group.map((i) => all[i]?.[0] as string));
}

function paths(far: Named): string[] {
  return alike(far, ([, { first }]) => first.path.join(" ")).map((group) => {
    const path = far[group[0] as number]?.[1].first.path ?? [];
    return `${who(far, group)} to another node: ${path.join(" > ").replaceAll(" > ~ > ", " ~ ")}`;
  });
}

function sameNode(near: Named): string[] {
  const groups = alike(near, ([, { first }]) => within(first));
  const texts = groups.map((group) => {
    const first = near[group[0] as number]?.[1].first as WalkFigures;
    return `${who(near, group)}: ${within(first)}`;
  });
  return texts.length === 0 ? [] : [`Between pods of one node, ${texts.join("; ")}.`];
}

/** What joins pods of one node, by what the packet met. */
function within({ kinds, path, routed, programs }: WalkFigures): string {
  const bridge = path.find((word) => !["pod", "veth", "~"].includes(word));
  const counts = routed === 0 ? "no router counts its TTL down" : `its TTL goes down by ${routed}`;
  if (kinds.includes("bridge")) return `bridge ${bridge} switches the frame by its MAC, ${counts}`;
  if (kinds.includes("openvswitch"))
    return `datapath ${bridge} switches the frame by its flows, ${counts}`;
  if (programs > 0) return `an eBPF program at the pod's veth redirects the packet, ${counts}`;
  return `there is no bridge, the node routes the packet to the pod's veth, ${counts}`;
}

function encapsulation(far: Named): string[] {
  const groups = alike(far, ([, { later }]) => JSON.stringify(later.outer));
  const texts = groups.map((group) => {
    const outer = far[group[0] as number]?.[1].later.outer ?? [];
    const bytes = outerBytes(outer);
    const names = who(far, group);
    if (bytes === 0)
      return `${names} put nothing around a packet: the nodes' network carries pods' addresses`;
    const sum = outer.map((header) => `${header.name} ${header.bytes}`).join(" + ");
    return `${names} ${bytes} bytes (${sum})`;
  });
  const spare = alike(far, ([, { mtu, later }]) =>
    String((later.linkMtu ?? 0) - outerBytes(later.outer) - mtu),
  );
  const rest = spare.map((group) => {
    const [, { mtu, later }] = far[group[0] as number] as Named[number];
    const room = (later.linkMtu ?? 0) - outerBytes(later.outer) - mtu;
    const text =
      room === 0
        ? `the MTU of pods is the link's ${later.linkMtu} less that`
        : room > 0
          ? `pods are told ${room} bytes less than would fit into the link's ${later.linkMtu}`
          : `pods are told ${-room} bytes more than fit into the link's ${later.linkMtu}: full packets are cut or lost`;
    return spare.length === 1 ? text : `on ${who(far, group)} ${text}`;
  });
  return texts.length === 0 ? [] : [`Tunnels: ${texts.join("; ")}; ${rest.join("; ")}.`];
}
