import { outerBytes } from "@cnilab/inspect";
import type { Comparison } from "./comparison.ts";
import type { Explanation } from "./explanations.ts";
import type { ConnectionFigures, WalkFigures } from "./finding.ts";
import { alike, pick } from "./names-in-text.ts";
import { CABLE, POD } from "./walk-figures.ts";

type Named = readonly (readonly [name: string, figures: ConnectionFigures])[];

/** The ways of each CNI, one for all that have the same. */
export function explainWay(comparison: Comparison): Explanation[] {
  const names = comparison.findings.map(({ cni }) => cni.label);
  const ways = comparison.findings.map((_, i) =>
    [
      ...pathOf(comparison.acrossNodes?.found[i]?.direct.first),
      ...within(comparison.sameNode?.found[i]?.direct.first),
    ].join("; "),
  );
  return alike(ways, (way) => way).map((group) => ({
    topic: pick(names, group),
    text: ways[group[0] as number] as string,
  }));
}

/** Devices up to the cable and from there; where the second half is the first one backwards, it need not be read. */
function pathOf(first: WalkFigures | undefined): string[] {
  if (first === undefined) return [];
  const cable = first.path.indexOf(CABLE);
  const [before, behind] = [first.path.slice(0, cable), first.path.slice(cable + 1)];
  const isMirrored = before.join() === behind.toReversed().join();
  const rest = isMirrored ? "mirrored" : behind.join(" > ");
  return [`${before.join(" > ")} ~cable~ ${rest}`];
}

/** What joins pods of one node, by what the packet met. */
function within(first: WalkFigures | undefined): string[] {
  if (first === undefined) return [];
  const { kinds, path, programs, flowLookups } = first;
  const bridge = path.find((word) => ![POD, "veth"].includes(word));
  if (kinds.includes("bridge")) return [`same node: switched by bridge ${bridge}`];
  if (flowLookups > 0) return [`same node: switched by datapath ${bridge}`];
  if (programs > 0) return ["same node: no bridge, an eBPF program redirects to the veth"];
  return ["same node: no bridge, a route leads to each pod's veth"];
}

/** What stands around packets between nodes, and what that leaves to pods. */
export function explainTunnels(comparison: Comparison): string {
  return encapsulation(
    named(
      comparison,
      comparison.acrossNodes?.found.map((walk) => walk?.direct),
    ),
    ownMtus(comparison),
  );
}

/** Of MTUs that do not come from a link, what the model's own description says of the one that it has. */
function ownMtus({ findings, acrossNodes }: Comparison): string {
  const texts = findings.flatMap(({ cni: { model } }, i) => {
    const figures = acrossNodes?.found[i]?.direct;
    if (figures === undefined || roomOf(figures) === 0) return [];
    const option = model?.options.find(({ key }) => key === "mtu");
    const isToldThere = option?.description.includes(String(figures.mtu)) === true;
    return isToldThere ? [` Option mtu of ${model?.name}: ${option.description}.`] : [];
  });
  return [...new Set(texts)].join("");
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
  return pick(
    all.map(([name]) => name),
    group,
  );
}

function encapsulation(far: Named, own: string): string {
  const groups = alike(far, ([, { later }]) => JSON.stringify(later.outer));
  const texts = groups.map((group) => {
    const outer = far[group[0] as number]?.[1].later.outer ?? [];
    const names = who(far, group);
    const sum = outer.map((header) => `${header.name} ${header.bytes}`).join(" + ");
    return outer.length === 0
      ? `none, as the nodes' network carries pods' addresses (${names})`
      : `${outerBytes(outer)} = ${sum} (${names})`;
  });
  const isFilled = far.some(([, figures]) => roomOf(figures) === 0);
  const rest = alike(far, ([, figures]) => roomText(figures, isFilled)).map((group) => {
    const [, figures] = far[group[0] as number] as Named[number];
    return `${roomText(figures, isFilled)} (${who(far, group)})`;
  });
  return texts.length === 0
    ? ""
    : `${texts.join("; ")}. The MTU of pods is ${rest.join("; ")}.${own}`;
}

/**
 * What a pod's MTU is beside the link's.
 * @param isFilled whether there is a CNI that leaves no room, with which the others can be compared
 */
function roomText(figures: ConnectionFigures, isFilled: boolean): string {
  const { later } = figures;
  const room = roomOf(figures);
  const link = `the link's ${later.linkMtu} less that`;
  if (room === 0) return link;
  if (room > 0) return isFilled ? `${room} less still` : `${link} and ${room} more`;
  return `${-room} more than the link's ${later.linkMtu} has room for: longer packets are cut, refused or lost`;
}

/** How much longer packets could be. */
function roomOf({ mtu, later }: ConnectionFigures): number {
  return (later.linkMtu ?? 0) - outerBytes(later.outer) - mtu;
}
