import { parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BpfObject } from "./bpf-object.ts";
import {
  identityOfTunnelId,
  isCluster,
  isRemoteNode,
  isReserved,
  isWorldOf,
  tunnelIdOf,
  worldOf,
} from "./identity.ts";
import {
  getIdentity,
  identityMark,
  MARK_MAGIC_HOST_MASK,
  proxyPortOf,
  toProxyMark,
} from "./mark.ts";

const DUAL = { dualStack: true, worldIpv4: 9, worldIpv6: 10 } as BpfObject;
const SINGLE = { dualStack: false, worldIpv4: 2, worldIpv6: 2 } as BpfObject;
const V4 = parseIp("10.0.0.1");
const V6 = parseIp("fd00::1");

describe("identities in programs", () => {
  // Number; whether it is a remote node, reserved, in the cluster; in a cluster of both families.
  test.each([
    [0, false, true, true],
    [1, false, true, true],
    [2, false, true, false],
    [3, false, false, true],
    [4, false, false, true],
    [5, false, false, true],
    [6, true, true, true],
    [7, true, true, true],
    [8, false, false, true],
    [9, false, true, false],
    [10, false, true, false],
    [256, false, false, true],
    [0x0100_0001, false, false, false],
    [0x0200_0001, true, true, true],
  ])("%i", (identity, remoteNode, reserved, cluster) => {
    expect(isRemoteNode(identity)).toBe(remoteNode);
    expect(isReserved(identity, DUAL)).toBe(reserved);
    expect(isCluster(identity, DUAL)).toBe(cluster);
  });

  test("the world is one in a tunnel, and has a family where the cluster has two", () => {
    expect([9, 10, 2, 256].map((identity) => tunnelIdOf(identity, DUAL))).toEqual([2, 2, 2, 256]);
    expect(identityOfTunnelId(2, V4, DUAL)).toBe(9);
    expect(identityOfTunnelId(2, V6, DUAL)).toBe(10);
    expect(identityOfTunnelId(2, V6, SINGLE)).toBe(2);
    expect(identityOfTunnelId(4242, V6, DUAL)).toBe(4242);
    expect([worldOf(V4, DUAL), worldOf(V6, DUAL), worldOf(V6, SINGLE)]).toEqual([9, 10, 2]);
    expect([isWorldOf(V4, 9, DUAL), isWorldOf(V4, 10, DUAL), isWorldOf(V4, 2, DUAL)]).toEqual([
      true,
      false,
      true,
    ]);
  });
});

describe("marks", () => {
  test("carry 24 bits of an identity and what they mean", () => {
    expect(identityMark(0x1234, 0xf00)).toBe(0x12340f00);
    expect(identityMark(0x0a1234, 0xf00)).toBe(0x12340f0a);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffff }), (identity) => {
        const mark = identityMark(identity, 0xb00);
        expect(getIdentity(mark)).toBe(identity);
        expect(mark & MARK_MAGIC_HOST_MASK).toBe(0xb00);
      }),
    );
  });

  test("carry a proxy's port as the wire has it", () => {
    expect(toProxyMark(0x1234)).toBe(0x34120200);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), (port) => {
        expect(proxyPortOf(toProxyMark(port))).toBe(port);
      }),
    );
  });
});
