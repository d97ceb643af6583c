import type { ConnectionMeasure, WalkMeasure } from "@cnilab/inspect";
import type { NetDevice } from "@cnilab/linux";
import type { ConnectionFigures, WalkFigures } from "./finding.ts";

/** Names of a path for what has none of its own worth reading. */
export const POD = "pod";
/** Between two machines. */
export const CABLE = "~";

/** What stays of a measured connection when its cluster is gone. */
export function connectionFigures(
  measure: ConnectionMeasure,
): Pick<ConnectionFigures, "first" | "answer" | "later" | "mtu"> {
  const { first, answer, later, mtu } = measure;
  return {
    first: walkFigures(first),
    answer: walkFigures(answer),
    later: walkFigures(later),
    mtu,
  };
}

function walkFigures(walk: WalkMeasure): WalkFigures {
  const { devices, namespaces, rulesByTable, leftBy, ...figures } = walk;
  return {
    ...figures,
    path: pathOf(devices),
    kinds: [...new Set(devices.map(({ kind }) => kind))],
    devices: devices.length,
    namespaces: namespaces.length,
    rulesByTable: Object.fromEntries(rulesByTable),
    ...(leftBy === undefined ? {} : { linkMtu: leftBy.mtu }),
  };
}

/** Devices in words: names of pods' ends of cables are of no use to a reader. */
function pathOf(devices: readonly NetDevice[]): string[] {
  const path: string[] = [];
  let machine: string | undefined;
  for (const dev of devices) {
    const { hostname } = dev.netns.kernel;
    if (machine !== undefined && machine !== hostname) path.push(CABLE);
    machine = hostname;
    const word = dev.netns.name !== "" ? POD : dev.kind === "veth" ? dev.kind : dev.name;
    // A pair of veths inside a pod is still the pod.
    if (path.at(-1) !== word) path.push(word);
  }
  return path;
}
