import type { IpFamily } from "@cnilab/net";
import type { WantedIpSet } from "./ip-sets.ts";

/** Lines for `ipset restore`. */
export interface IpSetChanges {
  /** For before the rules that name the sets. */
  readonly before: string;
  /** For when no rule names them any more. */
  readonly after: string;
}

/** The lines that make one list of sets of another (`felix/ipsets/ipsets.go` writeUpdates). */
export function ipSetChanges(
  from: ReadonlyMap<string, WantedIpSet>,
  to: ReadonlyMap<string, WantedIpSet>,
  family: IpFamily,
  maxSize: number,
): IpSetChanges {
  const before: string[] = [];
  for (const [name, { kind, members }] of to) {
    const there = from.get(name);
    if (there?.members === members) continue;
    if (there === undefined) {
      before.push(
        `create ${name} ${kind} family ${family === 4 ? "inet" : "inet6"} maxelem ${maxSize}`,
      );
    }
    for (const member of there?.members ?? []) {
      if (!members.has(member)) before.push(`del ${name} ${member} --exist`);
    }
    for (const member of members) {
      if (there?.members.has(member) !== true) before.push(`add ${name} ${member}`);
    }
  }
  const after = [...from.keys()].filter((name) => !to.has(name)).map((name) => `destroy ${name}`);
  return { before: lines(before), after: lines(after) };
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}
