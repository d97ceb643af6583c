// What an Open vSwitch datapath did in Linux 6.1 (Debian's 6.1.0-56, ovs-dpctl 3.1.0; recorded by record-openvswitch.ts), and does in the model.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CASES, comparable, Model } from "../openvswitch/cases.ts";

const recorded = new Map(
  readFileSync(new URL("../fixtures/openvswitch/recorded.txt", import.meta.url), "utf8")
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf("\n");
      return [part.slice(0, end), part.slice(end + 1)];
    }),
);
// One pair of machines goes through all of them: its counters go on.
const model = new Model();

test.each(Object.entries(CASES))("%s", (name, lines) => {
  model.clear();
  for (const line of lines) model.do(line);
  expect(comparable(model.state())).toEqual(comparable(recorded.get(name) ?? ""));
});
