import type { CniResult } from "@cnilab/core";
import { expect, test } from "vitest";
import { asVersion } from "./result-version.ts";

const current: CniResult = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", mtu: 1400, sandbox: "/run/netns/a" }],
  ips: [{ interface: 0, address: "10.0.0.2/24" }, { address: "fd00::2/64" }],
  routes: [],
};
const old: CniResult = {
  cniVersion: "0.4.0",
  interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/run/netns/a" }],
  ips: [
    { version: "4", interface: 0, address: "10.0.0.2/24" },
    { version: "6", address: "fd00::2/64" },
  ],
  dns: {},
};

test.each([
  ["1.1.0 as 0.4.0", current, "0.4.0", old],
  ["1.1.0 as 0.3.1", current, "0.3.1", { ...old, cniVersion: "0.3.1" }],
  [
    "0.4.0 as 1.0.0",
    old,
    "1.0.0",
    {
      cniVersion: "1.0.0",
      interfaces: old.interfaces,
      ips: [{ interface: 0, address: "10.0.0.2/24" }, { address: "fd00::2/64" }],
    },
  ],
  [
    "nothing but dns",
    { cniVersion: "1.0.0", dns: { domain: "a" } },
    "1.1.0",
    { cniVersion: "1.1.0", dns: { domain: "a" } },
  ],
])("%s", (_, result, version, expected) => {
  expect(asVersion(result, version)).toEqual(expected);
});

test("a result that has the version already is handed on as it is", () => {
  expect(asVersion(current, "1.1.0")).toBe(current);
});
