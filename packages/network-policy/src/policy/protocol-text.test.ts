import { expect, test } from "vitest";
import { type IpProtocol, icmpNumber } from "./ip-protocol.ts";
import { protocolText } from "./protocol-text.ts";

test.each<[IpProtocol, [number, number][], string[], string]>([
  [
    "TCP",
    [
      [80, 80],
      [8000, 8999],
    ],
    ["http"],
    "TCP 80,8000-8999,http",
  ],
  ["TCP", [[1, 65_535]], [], "TCP 1-65535"],
  ["TCP", [], [], ""],
  [47, [[0, 65_535]], [], "protocol 47"],
  ["ICMP", [[0, 65_535]], [], "ICMP"],
  ["ICMP", [[icmpNumber(8, 0), icmpNumber(8, 255)]], [], "ICMP type 8"],
  ["ICMPv6", [[icmpNumber(1, 0), icmpNumber(4, 255)]], [], "ICMPv6 types 1-4"],
  ["ICMP", [[icmpNumber(3, 4), icmpNumber(3, 4)]], [], "ICMP type 3 code 4"],
  ["ICMP", [[icmpNumber(3, 4), icmpNumber(3, 9)]], [], "ICMP type 3 codes 4-9"],
  ["ICMP", [[icmpNumber(3, 5), icmpNumber(7, 255)]], [], "ICMP type 3 codes 5-255,types 4-7"],
  ["ICMP", [[icmpNumber(3, 5), icmpNumber(4, 0)]], [], "ICMP type 3 codes 5-255,type 4 code 0"],
  ["ICMP", [[0, icmpNumber(3, 3)]], [], "ICMP types 0-2,type 3 codes 0-3"],
])("%s %j %j is %s", (protocol, ranges, names, text) => {
  expect(protocolText(protocol, ranges, names)).toBe(text);
});
