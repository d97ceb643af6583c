import { expect, test } from "vitest";
import { MemoryFiles } from "./host-files.ts";

test("files are found where they were put, and only there", () => {
  const files = new MemoryFiles();
  files.write("/run/flannel/subnet.env", "FLANNEL_MTU=1450\n");
  expect(files.read("/run/flannel/subnet.env")).toBe("FLANNEL_MTU=1450\n");
  expect(files.read("/run/flannel/subnet")).toBeUndefined();
  expect(files.read("/run/subnet.env")).toBeUndefined();
  files.write("/run/flannel/subnet.env", "");
  expect(files.read("/run/flannel/subnet.env")).toBe("");
});

test("a folder lists its own files, sorted", () => {
  const files = new MemoryFiles();
  for (const name of ["20-b.conf", "10-a.conf", "sub/30-c.conf"])
    files.write(`/etc/cni/${name}`, "");
  expect(files.list("/etc/cni")).toEqual(["10-a.conf", "20-b.conf"]);
  expect(files.list("/etc/cni/")).toEqual(["10-a.conf", "20-b.conf"]);
  expect(files.list("/etc/cni/sub")).toEqual(["30-c.conf"]);
  expect(files.list("/etc")).toEqual([]);
});

test("a file is removed once", () => {
  const files = new MemoryFiles();
  files.write("/a/b", "1");
  files.write("/a/c", "2");
  expect([files.remove("/a/b"), files.remove("/a/b"), files.remove("/x/y")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(files.list("/a")).toEqual(["c"]);
  expect(files.read("/a/b")).toBeUndefined();
});

test("contents that are made when they are read", () => {
  const files = new MemoryFiles();
  let made = 0;
  files.write("/a/b", { text: () => `text ${++made}` });
  expect(files.list("/a")).toEqual(["b"]);
  expect(made).toBe(0);
  expect([files.read("/a/b"), files.read("/a/b")]).toEqual(["text 1", "text 2"]);
  expect(files.remove("/a/b")).toBe(true);
  expect(files.read("/a/b")).toBeUndefined();
});

test("a folder shows the files that others write by their paths, and the other way round", () => {
  const files = new MemoryFiles();
  const folder = files.folder("/var/lib/x/");
  expect(folder.list()).toEqual([]);
  files.write("/var/lib/x/b", "1");
  folder.write("a", { text: () => "2" });
  expect(folder.list()).toEqual(["a", "b"]);
  expect([folder.read("b"), files.read("/var/lib/x/a"), folder.read("c")]).toEqual([
    "1",
    "2",
    undefined,
  ]);
  expect([folder.remove("a"), files.remove("/var/lib/x/b"), folder.remove("b")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(files.list("/var/lib/x")).toEqual([]);
  folder.write("d", "3");
  expect(files.list("/var/lib/x")).toEqual(["d"]);
});
