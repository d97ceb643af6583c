import type { KubeObject } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import type { AddressRange } from "../analyse/block-index.ts";
import { compareText } from "../compare-text.ts";
import { KUBERNETES_POLICIES, type PolicyReader } from "../policy/policy-reader.ts";
import { connectionsByRange, outsideRanges, type Peer, peerName } from "./connections.ts";

/** What one pair of peers may do before a change and after it, in words as `TCP 80`; `No Connections` for nothing. */
export interface ConnectionChange {
  readonly source: string;
  readonly destination: string;
  readonly before: string;
  readonly after: string;
}

const NOTHING = "No Connections";

/** What another set of objects opens or closes, workload by workload. */
export function connectionChanges(
  before: readonly KubeObject[],
  after: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly ConnectionChange[] {
  // Both are cut where either has a block's border, so that ranges compare one by one.
  const ranges = outsideRanges([...reader.read(before).policies, ...reader.read(after).policies]);
  const changes = new Map<string, Change>();
  for (const [side, objects] of [
    ["before", before],
    ["after", after],
  ] as const) {
    for (const { source, destination, ports } of connectionsByRange(objects, ranges, reader)) {
      const key = `${peerName(source)} => ${peerName(destination)}`;
      let change = changes.get(key);
      if (change === undefined) {
        change = { source, destination, before: NOTHING, after: NOTHING };
        changes.set(key, change);
      }
      change[side] = String(ports);
    }
  }
  const real = [...changes.values()].filter((change) => change.before !== change.after);
  return joinRanges(real).sort(
    (x, y) => compareText(x.source, y.source) || compareText(x.destination, y.destination),
  );
}

interface Change {
  readonly source: Peer;
  readonly destination: Peer;
  before: string;
  after: string;
}

/** Outside ranges that change alike are one line. */
function joinRanges(changes: readonly Change[]): ConnectionChange[] {
  const lines: ConnectionChange[] = [];
  const alike = new Map<string, { readonly change: Change; readonly ranges: AddressRange[] }>();
  for (const change of changes) {
    const { source, destination, before, after } = change;
    const outside =
      "outside" in source
        ? source.outside
        : "outside" in destination
          ? destination.outside
          : undefined;
    if (outside === undefined) {
      lines.push({ source: peerName(source), destination: peerName(destination), before, after });
      continue;
    }
    const inside = "outside" in source ? `<= ${peerName(destination)}` : `=> ${peerName(source)}`;
    const key = `${inside} ${before} ${after}`;
    const group = alike.get(key);
    if (group === undefined) alike.set(key, { change, ranges: [outside] });
    else group.ranges.push(outside);
  }
  for (const { change, ranges } of alike.values()) {
    const text = `${joinedText(ranges)}[External]`;
    const { source, destination, before, after } = change;
    lines.push(
      "outside" in source
        ? { source: text, destination: peerName(destination), before, after }
        : { source: peerName(source), destination: text, before, after },
    );
  }
  return lines;
}

function joinedText(ranges: readonly AddressRange[]): string {
  const joined: [number, number][] = [];
  for (const { first, last } of ranges) {
    const before = joined.at(-1);
    if (before !== undefined && before[1] + 1 === first) before[1] = last as number;
    else joined.push([first as number, last as number]);
  }
  return joined.map(([first, last]) => `${formatIp(first)}-${formatIp(last)}`).join(",");
}
