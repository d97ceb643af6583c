import type { CniCommand, PluginConfig } from "@cnilab/core";
import { expect, test } from "vitest";
import { failureOf, TestNode } from "../test/node.ts";
import { executePlugin, supportedVersions } from "./plugin-execution.ts";
import { PLUGINS } from "./plugins.ts";

const ok = { containerId: "c1", ifName: "eth0", name: "net1", cniVersion: "1.0.0" };

test.each<[string, CniCommand, Partial<typeof ok> & { netns?: string }, string]>([
  ["an ID with a slash", "ADD", { containerId: "a/b" }, "4 invalid characters in containerID"],
  ["no ID", "ADD", { containerId: "" }, "4 required env variables [CNI_CONTAINERID] missing"],
  ["no namespace", "ADD", { netns: "" }, "4 required env variables [CNI_NETNS] missing"],
  ["a long name", "ADD", { ifName: "abcdefghijklmnop" }, "4 interface name is too long"],
  [
    "a name with a blank",
    "ADD",
    { ifName: "a b" },
    "4 interface name contains / or : or whitespace characters",
  ],
  ["no network name", "ADD", { name: "" }, "7 missing network name"],
  ["a bad network name", "ADD", { name: "-a" }, "7 invalid characters found in network name"],
  ["an unknown version", "ADD", { cniVersion: "2.0.0" }, "1 incompatible CNI versions"],
  ["CHECK before 0.4.0", "CHECK", { cniVersion: "0.3.1" }, "1 config version does not allow CHECK"],
  ["GC before 1.1.0", "GC", {}, "1 config version does not allow GC"],
  [
    "a namespace that is gone",
    "ADD",
    { netns: "/run/netns/x" },
    '999 failed to Statfs "/run/netns/x": no such file or directory',
  ],
])("%s", (_, command, change, expected) => {
  const node = new TestNode();
  const {
    containerId,
    ifName,
    name,
    cniVersion,
    netns = node.conf("c1").netns,
  } = { ...ok, ...change };
  const config: PluginConfig = { type: "loopback", name, cniVersion };
  const call = {
    ...{ containerId, ifName, netns, args: "", config },
    host: node.kernel,
    delegate: () => undefined,
  };
  const plugin = PLUGINS.get("loopback");
  expect(failureOf(() => plugin && executePlugin(plugin, command, call))).toBe(expected);
});

test.each([
  ["firewall", "0.4.0"],
  ["bandwidth", "0.3.0"],
  ["bridge", "0.1.0"],
])("%s speaks %s and what came later", (type, first) => {
  const plugin = PLUGINS.get(type);
  expect(plugin && supportedVersions(plugin)[0]).toBe(first);
});
