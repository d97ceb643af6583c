import { expect, test } from "vitest";
import { DEFAULT_CONFIG } from "./config.ts";
import { readConfig } from "./config-json.ts";

test.each<[string, unknown, object]>([
  ["nothing but defaults", {}, { masqueradeBit: 14, localhostNodePorts: true, clusterCIDRs: [] }],
  [
    "ranges of both families",
    { clusterCIDR: "10.0.0.0/8,fd00::/8" },
    { clusterCIDRs: ["10.0.0.0/8", "fd00::/8"] },
  ],
  ["no range", { clusterCIDR: "" }, { clusterCIDRs: [] }],
  [
    "a bridge",
    { detectLocalMode: "BridgeInterface", detectLocal: { bridgeInterface: "cni0" } },
    { detectLocalMode: "BridgeInterface", bridgeInterface: "cni0" },
  ],
  [
    "a prefix",
    { detectLocalMode: "InterfaceNamePrefix", detectLocal: { interfaceNamePrefix: "veth" } },
    { detectLocalMode: "InterfaceNamePrefix", interfaceNamePrefix: "veth" },
  ],
  ["masqueradeAll", { masqueradeAll: true }, { masqueradeAll: true }],
  ["another mark", { masqueradeBit: 0 }, { masqueradeBit: 0 }],
  [
    "node ports",
    { localhostNodePorts: false, nodePortAddresses: ["10.0.0.0/8"] },
    { localhostNodePorts: false, nodePortAddresses: ["10.0.0.0/8"] },
  ],
  [
    "IPVS",
    { ipvs: { scheduler: "sh", strictARP: true, excludeCIDRs: ["10.5.0.0/16"] } },
    { ipvsScheduler: "sh", ipvsStrictARP: true, ipvsExcludeCIDRs: ["10.5.0.0/16"] },
  ],
  ["IPVS without a scheduler", { ipvs: { scheduler: "" } }, { ipvsScheduler: "rr" }],
  [
    "null is absent",
    { masqueradeBit: null, nodePortAddresses: null },
    { masqueradeBit: 14, nodePortAddresses: [] },
  ],
])("%s", (_name, json, expected) => {
  expect(readConfig(json, "config.json")).toEqual({ ...DEFAULT_CONFIG, ...expected });
});

test.each<[unknown, RegExp]>([
  [[], /must be a JSON object/],
  [null, /must be a JSON object/],
  ["text", /must be a JSON object/],
  [{ clusterCIDR: 10 }, /clusterCIDR must be a string/],
  [{ masqueradeAll: "yes" }, /masqueradeAll must be a boolean/],
  [{ detectLocalMode: "Guess" }, /detectLocalMode must be one of ClusterCIDR, .*, not Guess/],
  [{ masqueradeBit: 32 }, /masqueradeBit must be a whole number from 0 to 31, not 32/],
  [{ masqueradeBit: 1.5 }, /masqueradeBit/],
  [{ masqueradeBit: -1 }, /masqueradeBit/],
  [{ nodePortAddresses: "10.0.0.0/8" }, /nodePortAddresses must be a list of CIDRs/],
  [{ nodePortAddresses: [10] }, /nodePortAddresses must be a list of CIDRs/],
  [{ detectLocal: { bridgeInterface: 1 } }, /bridgeInterface must be a string/],
  [{ detectLocal: "cni0" }, /detectLocal must be a JSON object/],
  [{ ipvs: "rr" }, /ipvs must be a JSON object/],
  [{ ipvs: { scheduler: "lblc" } }, /ipvs.scheduler must be one of rr, .*, not lblc/],
  [{ ipvs: { strictARP: "yes" } }, /strictARP must be a boolean/],
  [{ ipvs: { excludeCIDRs: "10.0.0.0/8" } }, /excludeCIDRs must be a list of CIDRs/],
])("%j is refused", (json, message) => {
  expect(() => readConfig(json, "config.json")).toThrow(message);
  expect(() => readConfig(json, "config.json")).toThrow("config.json");
});
