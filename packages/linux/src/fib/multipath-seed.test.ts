import { IPPROTO_TCP, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { routeInput } from "../ip/route-input.ts";
import { routeOutput } from "../ip/route-output.ts";
import { Dst } from "./dst.ts";

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

// ip6_multipath_l3_keys
test("which of two IPv6 ways a flow takes depends on its label, too", () => {
  const lab = new Lab();
  const [netns] = lab.machine("a");
  for (const i of [0, 1]) {
    const [dev] = cable(netns, `e${i}`, lab.machine(`b${i}`)[0], "e");
    up(dev, `fd0${i}::1/64`);
  }
  const nexthops = ["fd00::2", "fd01::2"].map((via) => ({ via: parseIp(via) }));
  netns.addRoute({ dst: parsePrefix("fd09::/64"), nexthops });
  const gatewayFor = (flowLabel: number) => {
    const [src, dst] = [parseIp("fd00::9"), parseIp("fd09::1")];
    const came = netns.device("e0");
    const found = routeInput(came, src, dst, 0, 0, IPPROTO_TCP, 1, 2, flowLabel);
    return found instanceof Dst ? found.gateway : found;
  };
  const labels = Array.from({ length: 20 }, (_, i) => i);
  expect(new Set(labels.map(gatewayFor))).toEqual(new Set(["fd00::2", "fd01::2"].map(parseIp)));
  expect(labels.map(gatewayFor)).toEqual(labels.map(gatewayFor));
});
