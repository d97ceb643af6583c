import { expect, test } from "vitest";
import { routingSettings } from "./felix-settings.ts";
import { type EnabledEncapsulations, mtus } from "./mtu.ts";

const NOTHING: EnabledEncapsulations = {
  ipip: false,
  vxlan: { 4: false, 6: false },
  wireguard: { 4: false, 6: false },
};

// felix/dataplane/linux/int_dataplane.go determinePodMTU
test.each([
  ["nothing", {}, {}, 1500],
  ["IPIP", { ipip: true }, {}, 1480],
  ["VXLAN", { vxlan: { 4: true, 6: false } }, {}, 1450],
  ["VXLAN of both families", { vxlan: { 4: true, 6: true } }, {}, 1430],
  [
    "VXLAN and WireGuard",
    { vxlan: { 4: true, 6: false }, wireguard: { 4: true, 6: false } },
    {},
    1440,
  ],
  ["what was set", { vxlan: { 4: true, 6: false } }, { vxlanMTU: 1300 }, 1300],
  // It is said to be too large, and taken.
  ["what was set too large", { vxlan: { 4: true, 6: false } }, { vxlanMTU: 1600 }, 1600],
  ["what was set for what is off", { ipip: true }, { vxlanMTU: 1300 }, 1480],
])("pods' MTU with %s", (_, on, spec, expected) => {
  expect(mtus(1500, routingSettings([spec]), { ...NOTHING, ...on }).pod).toBe(expected);
});

test("the environment is stronger than a node's configuration, and that than the cluster's", () => {
  const cluster = { vxlanMTU: 1, vxlanPort: 2, vxlanVNI: 3 };
  expect(
    routingSettings([cluster, { vxlanPort: 20, vxlanVNI: 30 }], { vxlanVNI: 300 }),
  ).toMatchObject({ vxlanMtu: 1, vxlanPort: 20, vxlanVni: 300 });
});
