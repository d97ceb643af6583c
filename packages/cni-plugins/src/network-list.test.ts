import { MemoryFiles } from "@cnilab/core";
import { expect, test } from "vitest";
import { failureOf } from "../test/node.ts";
import { parseNetworkList, readNetworkList, watchedNetworkList } from "./network-list.ts";

test.each([
  ["{", /^6 error parsing configuration list: /],
  ['{"plugins":[{"type":"a"}]}', /no name$/],
  ['{"name":"a"}', /no 'plugins' key$/],
  ['{"name":"a","plugins":[]}', /no plugins in list$/],
  ['{"name":"a","plugins":[{"type":"a"},{}]}', /failed to parse plugin config 1: missing 'type'$/],
])("%s is refused", (text, expected) => {
  expect(failureOf(() => parseNetworkList(text))).toMatch(expected);
});

test.each([
  [{ cniVersion: "1.0.0" }, "1.0.0"],
  [{ cniVersion: "0.4.0", cniVersions: ["0.3.1", "1.1.0", "9.0.0"] }, "1.1.0"],
  [{ cniVersion: "9.0.0" }, "9.0.0"],
])("of %j the version is %s", (versions, expected) => {
  const list = { name: "a", plugins: [{ type: "bridge" }], ...versions };
  expect(parseNetworkList(JSON.stringify(list)).cniVersion).toBe(expected);
});

test("the first list by name is the node's network", () => {
  const files = new MemoryFiles();
  expect(readNetworkList(files)).toBeUndefined();
  for (const name of ["20-b", "10-a"]) {
    files.write(
      `/etc/cni/net.d/${name}.conflist`,
      JSON.stringify({ name, plugins: [{ type: "x" }] }),
    );
  }
  files.write("/etc/cni/net.d/00-readme.txt", "");
  expect(readNetworkList(files)?.name).toBe("10-a");
});

test("a list is read anew when its file is another", () => {
  const files = new MemoryFiles();
  const file = "/etc/cni/net.d/10-a.conflist";
  const write = (name: string) =>
    files.write(file, JSON.stringify({ name, plugins: [{ type: "x" }] }));
  const network = watchedNetworkList(files, file);
  expect(network()).toBeUndefined();
  write("a");
  const first = network();
  expect(first?.name).toBe("a");
  expect(network()).toBe(first);
  write("b");
  expect(network()?.name).toBe("b");
});
