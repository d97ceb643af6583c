import { timestamp } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { BirdAgent } from "../bird/bird-agent.ts";
import { prettyTable } from "./table.ts";

// calicoctl/calicoctl/commands/node/status.go

const PEER_NAME = /^(Global|Node|Mesh)_(.+)$/;
const PEER_TYPES: Readonly<Record<string, string>> = {
  Global: "global",
  Mesh: "node-to-node mesh",
  Node: "node specific",
};
const COLUMNS = ["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"].map((title) => ({ title }));
/** So long BIRD shows a time, then a date (`timeformat protocol`). */
const RECENT_MS = 20 * 3_600_000;

/**
 * `calicoctl node status`: the node's BGP sessions, out of what BIRD lists of its protocols.
 * @param bird of the node; absent where the backend has none, or does not run
 * @param now virtual milliseconds
 */
export function nodeStatus(bird: BirdAgent | undefined, now: number): string {
  const lines = ["Calico process is running."];
  if (bird === undefined || !bird.isRunning) {
    return [...lines, "", "The BGP backend process (BIRD) is not running.", ""].join("\n");
  }
  // Both processes run, whatever the node's families.
  for (const family of [4, 6] as const) lines.push("", ...peers(bird, family, now));
  return [...lines, ""].join("\n");
}

function peers(bird: BirdAgent, family: IpFamily, now: number): string[] {
  const title = `IPv${family} BGP status`;
  const rows: string[][] = [];
  for (const { name, protocol, state, since, info } of bird.speaker(family)?.protocols() ?? []) {
    const [, kind, address] = PEER_NAME.exec(name) ?? [];
    if (protocol !== "BGP" || kind === undefined || address === undefined) continue;
    rows.push([
      address.replaceAll("_", family === 4 ? "." : ":"),
      PEER_TYPES[kind] as string,
      state,
      time(since, now),
      info.replace(/ +/g, " "),
    ]);
  }
  return rows.length === 0
    ? [title, `No IPv${family} peers found.`]
    : [title, prettyTable(COLUMNS, rows)];
}

function time(at: number, now: number): string {
  const text = timestamp(at);
  return now - at < RECENT_MS ? text.slice(11, 19) : text.slice(0, 10);
}
