import { parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { routeOutput } from "../ip/route-output.ts";

/** The gateway that a machine started with this seed sends one flow to. */
function gateway(seed: number): unknown {
  const lab = new Lab(seed);
  const [netns] = lab.machine("a");
  for (const i of [0, 1]) {
    const [dev] = cable(netns, `e${i}`, lab.machine(`b${i}`)[0], "e");
    up(dev, `10.${i}.0.1/24`);
  }
  const nexthops = ["10.0.0.2", "10.1.0.2"].map((via) => ({ via: parseIp(via) }));
  netns.addRoute({ dst: parsePrefix("10.9.0.0/16"), nexthops });
  const found = routeOutput(netns, { dst: parseIp("10.9.0.1"), src: parseIp("10.0.0.1") });
  return typeof found === "string" ? found : found.dst.gateway;
}

test("which of two ways a flow takes is keyed at the machine's start, and stays", () => {
  const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
  expect(new Set(seeds.map(gateway))).toEqual(new Set(["10.0.0.2", "10.1.0.2"].map(parseIp)));
  expect(seeds.map(gateway)).toEqual(seeds.map(gateway));
});
