import { formatIp, type Ipv4Address, parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { AddressPool } from "./address-pool.ts";

const ip = (text: string): Ipv4Address => parseIp(text) as Ipv4Address;

test("gives the lowest free address, also one that was in use before", () => {
  const pool = new AddressPool(parsePrefix("172.18.0.0/16"));
  const got = [pool.request(), pool.request(), pool.request()].map(formatIp);
  expect(got).toEqual(["172.18.0.1", "172.18.0.2", "172.18.0.3"]);
  pool.release(ip("172.18.0.2"));
  expect([pool.request(), pool.request()].map(formatIp)).toEqual(["172.18.0.2", "172.18.0.4"]);
});

test("takes from --ip-range what nobody asks for by name", () => {
  const pool = new AddressPool(parsePrefix("10.0.0.0/24"), parsePrefix("10.0.0.128/30"));
  expect(formatIp(pool.request(ip("10.0.0.5")))).toBe("10.0.0.5");
  expect(formatIp(pool.request())).toBe("10.0.0.128");
  pool.release(ip("10.0.0.5"));
  expect(formatIp(pool.request())).toBe("10.0.0.129");
});

test.each([
  { name: "an address twice", want: ["10.0.0.2", "10.0.0.2"], error: "10.0.0.2 is already in use" },
  { name: "an address of another network", want: ["10.0.1.2"], error: "10.0.1.2 is not in" },
  { name: "the broadcast address", want: ["10.0.0.7"], error: "10.0.0.7 is already in use" },
])("refuses $name", ({ want, error }) => {
  const pool = new AddressPool(parsePrefix("10.0.0.0/29"));
  expect(() => {
    for (const address of want) pool.request(ip(address));
  }).toThrow(error);
});

test("is empty once all are taken", () => {
  const pool = new AddressPool(parsePrefix("10.0.0.0/30"));
  expect([pool.request(), pool.request()].map(formatIp)).toEqual(["10.0.0.1", "10.0.0.2"]);
  expect(() => pool.request()).toThrow("no free address is left in 10.0.0.0/30");
  expect(formatIp(new AddressPool(parsePrefix("10.0.0.0/31")).request())).toBe("10.0.0.0");
});

test("each is the lowest that is free, whatever comes and goes", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat({ max: 15 })), { maxLength: 60 }), (steps) => {
      const pool = new AddressPool(parsePrefix("10.0.0.0/28"));
      const used = new Set<number>([0, 15]);
      for (const step of steps) {
        if (step !== null && step !== 0 && step !== 15) {
          pool.release(ip("10.0.0.0") + step);
          used.delete(step);
        } else if (used.size < 16) {
          let lowest = 0;
          while (used.has(lowest)) lowest++;
          expect(pool.request() - ip("10.0.0.0")).toBe(lowest);
          used.add(lowest);
        } else expect(() => pool.request()).toThrow("no free address");
      }
    }),
  );
});
