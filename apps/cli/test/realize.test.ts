import { expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

test("realize --print writes the script of the whole cluster, and runs nothing", async () => {
  const { stdout, status } = await cnilab(["realize", "--print", "--prefix", "p", "--nodes", "2"]);
  expect(status).toBe(0);
  const made = stdout.split("\n").filter((line) => line.startsWith("netns p"));
  expect(made).toEqual(expect.arrayContaining(["netns p.node1", "netns p.node2"]));
  expect(stdout.split("\n").at(-2)).toBe("finished=1"); // else nothing would be left of what it made
  expect(stdout).toContain("type vxlan id 1");
  expect(stdout).toContain("-A KUBE-SERVICES");
});

test.each([
  ["a prefix that is no name", ["--print", "--prefix", "a/b"], 'prefix "a/b"'],
  ["to take away what is no prefix", ["down", "--prefix", "../../tmp/x"], 'prefix "../../tmp/x"'],
  ["an action that there is not", ["up"], "down"],
])("realize refuses %s", async (_, args, message) => {
  const { stdout, stderr, status } = await cnilab(["realize", ...args]);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});

test("realize down removes nothing where nothing was made", async () => {
  const { stdout } = await cnilab(["realize", "down", "--prefix", "nobody-made-this"]);
  expect(stdout).toBe("removed 0 namespaces\n");
});
