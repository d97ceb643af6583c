import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import {
  type BridgeRulesConfig,
  configureBridgeRules,
  exposeRules,
  NoMasqLocalTracker,
  readNpcEvents,
  resetBridgeRules,
  StandAloneNpc,
} from "../../src/index.ts";
import { dump, dumpDifference, type NetfilterDump } from "../golden/netfilter-dump.ts";

interface NpcExpected {
  readonly base: NetfilterDump;
  readonly afterEvent: readonly (NetfilterDump & { readonly error?: string })[];
}

interface BridgeInput {
  readonly expectNPC: boolean;
  readonly noMasqLocal: boolean;
  readonly port: number;
  readonly controlPort: number;
}

/** What Weave's own code programmed into a real kernel. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  const cases = readdirSync(folder, { withFileTypes: true }).filter((each) => each.isDirectory());
  for (const { name } of cases.sort((x, y) => (x.name < y.name ? -1 : 1))) {
    const read = (file: string) => JSON.parse(readFileSync(join(folder, name, file), "utf8"));
    const input = read("input.json");
    const expected = read("expected.json");
    const detail = "events" in input ? npc(input, expected) : bridge(input, expected);
    yield detail === undefined ? { name, outcome: "passed" } : { name, outcome: "failed", detail };
  }
}

function node(): NetNamespace {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  return new Kernel(network, "node1").initNs;
}

function setUp(netns: NetNamespace, config: BridgeRulesConfig): void {
  const iptables = netns.iptables(4);
  resetBridgeRules(iptables, netns.ipsets, config);
  configureBridgeRules(iptables, config);
}

function npc(input: unknown, expected: NpcExpected): string | undefined {
  const netns = node();
  const agent = new StandAloneNpc(netns);
  const atStart = dumpDifference(expected.base, dump(netns));
  if (atStart !== undefined) return `base:\n${atStart}`;
  for (const [index, event] of readNpcEvents(input).entries()) {
    const error = agent.handle(event);
    const want = expected.afterEvent[index] as NpcExpected["afterEvent"][number];
    const at = `after event ${index + 1} (${event.op} ${event.object.kind} ${event.object.metadata.name})`;
    if (error !== want.error) return `${at}: error ${error}, wanted ${want.error}`;
    const difference = dumpDifference(want, dump(netns));
    if (difference !== undefined) return `${at}:\n${difference}`;
  }
  return undefined;
}

/** Steps by their names in the expected output. */
function bridge(
  { expectNPC, noMasqLocal, port, controlPort }: BridgeInput,
  expected: Readonly<Record<string, NetfilterDump>>,
): string | undefined {
  const netns = node();
  const tracker = new NoMasqLocalTracker(netns.ipsets);
  const start = parseIp("10.32.0.0") as number;
  const steps: Readonly<Record<string, () => void>> = {
    afterConfigureIPTables: () => setUp(netns, { npc: expectNPC, noMasqLocal, port, controlPort }),
    "afterRingGivesUs_10.32.0.0-10.35.255.255": () =>
      tracker.update([{ start, end: start + 2 ** 18 }]),
    afterDonatingUpperHalf: () => tracker.update([{ start, end: start + 2 ** 17 }]),
    "afterExpose_10.32.0.1/12": () =>
      exposeRules(netns.iptables(4), parsePrefix("10.32.0.0/12"), expectNPC),
  };
  for (const step of Object.keys(expected)) {
    if (!(step in steps)) return `nobody knows the step ${step}`;
  }
  for (const [step, run] of Object.entries(steps)) {
    const want = expected[step];
    if (want === undefined) continue;
    run();
    const difference = dumpDifference(want, dump(netns));
    if (difference !== undefined) return `${step}:\n${difference}`;
  }
  return undefined;
}
