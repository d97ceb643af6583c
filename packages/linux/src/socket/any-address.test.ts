import { SeededRandom, VirtualClock } from "@cnilab/core";
import { IPPROTO_TCP, IPPROTO_UDP, IPV4_ANY, IPV6_ANY, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { Kernel } from "../kernel.ts";
import { Network } from "../network.ts";
import { startEchoServer } from "./echo-server.ts";
import { exchange } from "./exchange.ts";

const PROTOCOLS = [IPPROTO_TCP, IPPROTO_UDP];

function machine() {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "machine");
  initNs.loopback.setUp();
  const serve = (protocol: number, owner: string, address?: string) => {
    const any = address === "0.0.0.0" ? IPV4_ANY : IPV6_ANY;
    const where =
      address === undefined ? {} : { address: /^(0\.|::$)/.test(address) ? any : parseIp(address) };
    startEchoServer(initNs, { protocol, port: 80, owner, ...where });
  };
  const ask = (protocol: number, dst: string) =>
    exchange(initNs, { protocol, dst: parseIp(dst), port: 80 }).report?.owner;
  return { serve, ask };
}

test.each(PROTOCOLS)("0.0.0.0 and :: are each a family's, for protocol %i", (protocol) => {
  const { serve, ask } = machine();
  serve(protocol, "four", "0.0.0.0");
  expect(ask(protocol, "::1")).toBeUndefined();
  serve(protocol, "six", "::");
  expect([ask(protocol, "127.0.0.1"), ask(protocol, "::1")]).toEqual(["four", "six"]);
});

test.each([
  { first: "0.0.0.0", second: "127.0.0.1" },
  { first: "127.0.0.1", second: "0.0.0.0" },
  { first: "::", second: "::1" },
  { first: "::", second: undefined },
  { first: undefined, second: "0.0.0.0" },
  { first: "0.0.0.0", second: "0.0.0.0" },
])("$second is in use after $first", ({ first, second }) => {
  for (const protocol of PROTOCOLS) {
    const { serve } = machine();
    serve(protocol, "first", first);
    expect(() => serve(protocol, "second", second)).toThrow("is taken by first");
  }
});
