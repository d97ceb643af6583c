import { parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { AddressSpace, type NetworkToSplit } from "./address-space.ts";

const split = (base: string, size: number): NetworkToSplit => ({ base: parsePrefix(base), size });

test("cuts the default pools in their order", () => {
  const space = new AddressSpace();
  const got = Array.from({ length: 17 }, () => String(space.allocatePredefined([])));
  expect(got.slice(0, 4)).toEqual([
    "172.17.0.0/16",
    "172.18.0.0/16",
    "172.19.0.0/16",
    "172.20.0.0/16",
  ]);
  expect(got.slice(13)).toEqual([
    "172.30.0.0/16",
    "172.31.0.0/16",
    "192.168.0.0/20",
    "192.168.16.0/20",
  ]);
});

test.each([
  { name: "the host's own link", reserved: ["172.17.5.0/24"], taken: [], want: "172.18.0.0/16" },
  {
    name: "part of a pool of several",
    reserved: ["172.16.0.0/13"],
    taken: ["172.24.0.0/16"],
    want: "172.25.0.0/16",
  },
  {
    name: "a gap between two",
    reserved: ["172.16.0.0/12", "192.168.0.0/24"],
    taken: ["192.168.32.0/24"],
    want: "192.168.16.0/20",
  },
])("goes around $name", ({ reserved, taken, want }) => {
  const space = new AddressSpace();
  for (const subnet of taken) space.allocate(parsePrefix(subnet));
  expect(String(space.allocatePredefined(reserved.map(parsePrefix)))).toBe(want);
});

test("gives a subnet back", () => {
  const space = new AddressSpace([split("10.0.0.0/23", 24)]);
  const first = space.allocatePredefined([]);
  space.allocatePredefined([]);
  expect(() => space.allocatePredefined([])).toThrow("all predefined address pools");
  space.release(first);
  expect(String(space.allocatePredefined([]))).toBe("10.0.0.0/24");
});

test("refuses a subnet that overlaps", () => {
  const space = new AddressSpace();
  space.allocatePredefined([]);
  expect(() => space.allocate(parsePrefix("172.17.128.0/24"))).toThrow("Pool overlaps");
});

test("leaves out a pool inside another", () => {
  const space = new AddressSpace([split("10.0.1.0/24", 25), split("10.0.0.0/22", 23)]);
  expect([space.allocatePredefined([]), space.allocatePredefined([])].map(String)).toEqual([
    "10.0.0.0/23",
    "10.0.2.0/23",
  ]);
  expect(() => space.allocatePredefined([])).toThrow("all predefined");
});
