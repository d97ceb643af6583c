import { IPV6_ANY, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { PortAllocator, type PortRange } from "./port-allocator.ts";

const ANY = 0;
const LOOPBACK = parseIp("127.0.0.1") as number;
const yes = (): boolean => true;

test("automatic ports go on, and begin anew at the end", () => {
  const ports = new PortAllocator([32768, 32770]);
  const next = (): number => ports.request([ANY], "tcp", undefined, yes);
  expect([next(), next()]).toEqual([32768, 32769]);
  ports.release([ANY], "tcp", 32768);
  expect([next(), next()]).toEqual([32770, 32768]);
  expect(next).toThrow("all ports of 32768-32770 are allocated");
});

test("goes past a port that a program of the host has", () => {
  const ports = new PortAllocator([32768, 60999]);
  expect(ports.request([ANY], "tcp", undefined, (port) => port > 32768)).toBe(32769);
});

test.each<{ name: string; request: [number, "tcp" | "udp", PortRange]; want: number | string }>([
  { name: "the same", request: [ANY, "tcp", [80, 80]], want: "Bind for 0.0.0.0:80 failed" },
  {
    name: "one address of all",
    request: [LOOPBACK, "tcp", [80, 80]],
    want: "Bind for 127.0.0.1:80",
  },
  { name: "another protocol", request: [ANY, "udp", [80, 80]], want: 80 },
  { name: "a range", request: [ANY, "tcp", [80, 82]], want: 81 },
])("$name after 0.0.0.0:80", ({ request: [address, protocol, range], want }) => {
  const ports = new PortAllocator([32768, 60999]);
  ports.request([ANY], "tcp", [80, 80], yes);
  const ask = (): number => ports.request([address], protocol, range, yes);
  if (typeof want === "string") expect(ask).toThrow(want);
  else expect(ask()).toBe(want);
});

test("one port for addresses of both families", () => {
  const ports = new PortAllocator([32768, 60999]);
  ports.request([IPV6_ANY], "tcp", [80, 80], yes);
  expect(ports.request([ANY, IPV6_ANY], "tcp", [80, 82], yes)).toBe(81);
  expect(ports.request([ANY], "tcp", [80, 80], yes)).toBe(80);
  ports.release([ANY, IPV6_ANY], "tcp", 81);
  expect(ports.request([IPV6_ANY], "tcp", [81, 81], yes)).toBe(81);
});
