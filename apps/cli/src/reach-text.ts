import type { Protocol } from "@cnilab/core";
import { csvField } from "./csv.ts";

/** Whether one workload reaches another on a port, and why not. */
export interface ReachPair {
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly verdict: string;
  readonly reason: string;
}

const ALLOWED = "allowed";

/**
 * A square of workloads: `.` reaches every port, `x` none, `o` some; then what does not get through, with reasons.
 * @param around sources that are asked for by nobody
 */
export function reachMatrix(
  names: readonly string[],
  pairs: readonly ReachPair[],
  around: readonly string[] = [],
): string {
  const byEnds = new Map<string, ReachPair[]>();
  for (const pair of pairs) {
    const key = `${pair.source} ${pair.destination}`;
    const known = byEnds.get(key);
    if (known === undefined) byEnds.set(key, [pair]);
    else known.push(pair);
  }
  const digits = String(names.length).length;
  const sources = [...names, ...around];
  const width = Math.max(...sources.map((name) => name.length));
  const number = (i: number) => String(i + 1).padStart(digits);
  const head = `${" ".repeat(digits + width + 2)} ${names.map((_, i) => number(i)).join(" ")}`;
  const rows = sources.map((source, i) => {
    const cells = names.map((destination) =>
      cell(source === destination, byEnds.get(`${source} ${destination}`) ?? []).padStart(digits),
    );
    const which = i < names.length ? number(i) : " ".repeat(digits);
    return `${which}  ${source.padEnd(width)} ${cells.join(" ")}`.trimEnd();
  });
  const lost = pairs.filter(({ verdict }) => verdict !== ALLOWED);
  const reasons = lost.map(
    ({ source, destination, protocol, port, verdict, reason }) =>
      `${source} -> ${destination} ${protocol}/${port} ${verdict}: ${reason}`,
  );
  const legend = "rows reach columns: . all declared ports, o some, x none, - no port declared";
  return [head, ...rows, legend, ...reasons].join("\n");
}

function cell(isSelf: boolean, pairs: readonly ReachPair[]): string {
  if (isSelf) return " ";
  if (pairs.length === 0) return "-";
  const reached = pairs.filter(({ verdict }) => verdict === ALLOWED).length;
  return reached === pairs.length ? "." : reached === 0 ? "x" : "o";
}

/** RFC 4180. */
export function reachCsv(pairs: readonly ReachPair[]): string {
  const rows = pairs.map(({ source, destination, protocol, port, verdict, reason }) =>
    [source, destination, protocol, String(port), verdict, reason].map(csvField).join(","),
  );
  return ["source,destination,protocol,port,verdict,reason", ...rows].join("\n");
}
