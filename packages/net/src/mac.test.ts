import fc from "fast-check";
import { expect, test } from "vitest";
import { mac as anyMac } from "../test/arbitraries.ts";
import { formatIp, parseIp } from "./ip-address.ts";
import {
  BROADCAST_MAC,
  formatMac,
  isGroupMac,
  linkLocalFromMac,
  localMac,
  multicastMac,
  tryParseMac,
  ZERO_MAC,
} from "./mac.ts";

const mac = (text: string): number => tryParseMac(text) as number;

test("text parses back to the same number", () => {
  expect(formatMac(0x0200000000ff)).toBe("02:00:00:00:00:ff");
  expect(formatMac(ZERO_MAC)).toBe("00:00:00:00:00:00");
  expect(mac("FF:ff:FF:ff:FF:ff")).toBe(BROADCAST_MAC);
  fc.assert(
    fc.property(anyMac, (each) => {
      expect(mac(formatMac(each))).toBe(each);
    }),
  );
});

test.each([
  [""],
  ["02:00:00:00:00"],
  ["02:00:00:00:00:01:02"],
  ["2:0:0:0:0:1"],
  ["02-00-00-00-00-01"],
  ["0200.0000.0001"],
  ["020000000001"],
  ["02:00:00:00:00:0g"],
  ["02:00:00:00:00:01 "],
  ["02:00:00:00:00:01\n"],
])("%j is no MAC", (text) => {
  expect(tryParseMac(text)).toBeUndefined();
});

test.each([
  ["ff:ff:ff:ff:ff:ff", true],
  ["01:00:5e:00:00:01", true],
  ["33:33:00:00:00:01", true],
  ["02:00:00:00:00:01", false],
  ["fe:ff:ff:ff:ff:ff", false],
])("%s is of a group: %s", (text, expected) => {
  expect(isGroupMac(mac(text))).toBe(expected);
});

// RFC 1112 section 6.4 (the low 23 bits), RFC 2464 section 7 (the low 32 bits)
test.each([
  ["224.0.0.1", "01:00:5e:00:00:01"],
  ["239.255.255.255", "01:00:5e:7f:ff:ff"],
  ["224.128.0.1", "01:00:5e:00:00:01"],
  ["ff02::1", "33:33:00:00:00:01"],
  ["ff02::1:ff00:2", "33:33:ff:00:00:02"],
  ["ff02::ffff:ffff", "33:33:ff:ff:ff:ff"],
])("group %s has %s", (group, expected) => {
  expect(formatMac(multicastMac(parseIp(group)))).toBe(expected);
});

test.each([["10.0.0.1"], ["fd00::1"]])("%s is no group", (address) => {
  expect(() => multicastMac(parseIp(address))).toThrow(new RangeError("not a multicast address"));
});

// RFC 4291 appendix A, its example
test.each([
  ["34:56:78:9a:bc:de", "fe80::3656:78ff:fe9a:bcde"],
  ["02:00:00:00:00:01", "fe80::ff:fe00:1"],
  ["00:00:00:00:00:00", "fe80::200:ff:fe00:0"],
  ["fe:ff:ff:ff:ff:ff", "fe80::fcff:ffff:feff:ffff"],
])("%s makes %s", (text, expected) => {
  expect(formatIp(linkLocalFromMac(mac(text)))).toBe(expected);
});

// kernel include/linux/etherdevice.h eth_random_addr
test("a random MAC is unicast, local, and keeps the other 46 bits", () => {
  expect(formatMac(localMac(0xffffffffffff))).toBe("fe:ff:ff:ff:ff:ff");
  expect(formatMac(localMac(0))).toBe("02:00:00:00:00:00");
  fc.assert(
    fc.property(anyMac, (random) => {
      const made = localMac(random);
      expect(isGroupMac(made)).toBe(false);
      expect(Math.floor(made / 2 ** 40) & 0x03).toBe(2);
      expect(made % 2 ** 40).toBe(random % 2 ** 40);
      expect(Math.floor(made / 2 ** 42)).toBe(Math.floor(random / 2 ** 42));
    }),
  );
});
