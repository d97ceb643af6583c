import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { FLOW_TTL_MS, FlowTable, VfpFlow } from "./flow-table.ts";
import { type FlowTuple, reverse } from "./flow-tuple.ts";

const flowTo = (dst: string, dstPort: number): FlowTuple => ({
  protocol: IPPROTO_TCP,
  src: parseIp("10.244.1.5"),
  srcPort: 50_000,
  dst: parseIp(dst),
  dstPort,
});

const ASKED = flowTo("10.96.0.10", 80);
const SERVED = flowTo("10.244.2.7", 8080);

test("translates a flow and its answers, each in its own direction", () => {
  const table = new FlowTable();
  const flow = new VfpFlow(ASKED, SERVED, undefined, 0);
  table.add(flow, "OUT", "IN");
  expect(table.find("OUT", ASKED, 1)).toMatchObject({ becomes: SERVED, isReply: false });
  expect(table.find("IN", reverse(SERVED), 1)).toMatchObject({
    becomes: reverse(ASKED),
    isReply: true,
  });
  expect(table.find("IN", ASKED, 1)).toBeUndefined();
  expect(table.find("OUT", reverse(SERVED), 1)).toBeUndefined();
  expect([...table.flows(1)]).toEqual([flow]);
});

test.each([
  { what: "a flow within its time", at: FLOW_TTL_MS, serves: true, found: true },
  { what: "an idle flow", at: FLOW_TTL_MS + 1, serves: true, found: false },
  { what: "a flow whose endpoint is gone", at: 1, serves: false, found: false },
])("$what: found $found", ({ at, serves, found }) => {
  const table = new FlowTable();
  table.add(new VfpFlow(ASKED, SERVED, { serves: () => serves }, 0), "OUT", "IN");
  expect(table.find("OUT", ASKED, at) !== undefined).toBe(found);
  expect([...table.flows(at)].length).toBe(found ? 1 : 0);
});

test("sweeps dead flows out when it has grown", () => {
  const table = new FlowTable();
  for (let i = 0; i < 512; i++) {
    const tuple = flowTo("10.96.0.10", 1000 + i);
    table.add(new VfpFlow(tuple, tuple, undefined, 0), "OUT", "IN");
  }
  const late = FLOW_TTL_MS * 2;
  table.add(new VfpFlow(ASKED, SERVED, undefined, late), "OUT", "IN");
  // At time 1 all 513 would be alive, had they not gone.
  expect([...table.flows(1)].length).toBe(1);
});
