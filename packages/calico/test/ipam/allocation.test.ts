import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { releaseBlockAffinity, releaseHostAffinities } from "../../src/ipam/affinities.ts";
import { WINDOWS_RESERVED } from "../../src/ipam/allocation-block.ts";
import { assignIp } from "../../src/ipam/assign-ip.ts";
import { autoAssign, fulfilmentProblem } from "../../src/ipam/auto-assign.ts";
import { DEFAULT_SETTINGS } from "../../src/ipam/ipam-settings.ts";
import { assignmentAttributes, ipsByHandle, releaseIps } from "../../src/ipam/release.ts";
import { utilization } from "../../src/ipam/utilization.ts";
import { addressOf, SimulatedIpam } from "./simulated-ipam.ts";

const STRICT = { ...DEFAULT_SETTINGS, strictAffinity: true };

describe("Windows", () => {
  function windows(blockSize: number): SimulatedIpam {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/26", blockSize }], ["win1", "n1"]);
    ipam.datastore.settings = STRICT;
    return ipam;
  }
  const host = { os: "windows", reserved: WINDOWS_RESERVED } as const;

  test("has the first three and the last address of its block for itself", () => {
    const ipam = windows(28);
    const got = ipam.assign("win1", "pods", { ...host, count: 12 });
    const first = parseIp("10.0.0.0") as number;
    const ordinals = got.map((text) => ((parseIp(addressOf(text)) as number) - first) % 16);
    expect(ordinals).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    // One more makes another block.
    expect(ipam.assign("win1", "more", host)).toHaveLength(1);
    expect(ipam.datastore.blocks()).toHaveLength(2);
  });

  test("gives a block up like an empty one, though it has addresses for itself", () => {
    const ipam = windows(28);
    ipam.assign("win1", "pod", host);
    ipam.release("pod");
    ipam.run(releaseHostAffinities({ type: "host", host: "win1" }, STRICT, ipam.now, true));
    expect(ipam.datastore.blocks()).toEqual([]);
  });

  test("needs strict affinity, and blocks that are large enough", () => {
    const ipam = windows(30);
    expect(() => ipam.assign("win1", "pod", host)).toThrow("cannot find a qualified ippool");
    const lax = new SimulatedIpam([{ cidr: "10.0.0.0/26" }], ["win1"]);
    expect(() => lax.assign("win1", "pod", host)).toThrow(
      "global strict affinity should not be false for Windows node",
    );
  });
});

describe("an address that was given back", () => {
  test("is not handed out again until it has cooled down, and then behind the others", () => {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/30", blockSize: 30 }], ["n1"]);
    ipam.datastore.settings = { ...DEFAULT_SETTINGS, ipCooldownSeconds: 60 };
    ipam.assign("n1", "a", { count: 2 });
    ipam.release("a");
    expect(ipam.assign("n1", "b", { count: 4 })).toEqual(["10.0.0.2/30", "10.0.0.3/30"]);
    expect(() =>
      ipam.run(
        assignIp({ address: parseIp("10.0.0.0"), host: "n1", owner: { attributes: {} } }, ipam.now),
      ),
    ).toThrow("Address already assigned in block");
    expect(() => ipam.run(assignmentAttributes(parseIp("10.0.0.0"), ipam.now))).toThrow(
      "address 10.0.0.0 is in cooldown",
    );
    ipam.clock.advance(60_000);
    expect(ipam.assign("n1", "c", { count: 4 })).toEqual(["10.0.0.0/30", "10.0.0.1/30"]);
  });

  test("is free at once where there is nothing to cool down", () => {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/31", blockSize: 31 }], ["n1"]);
    ipam.assign("n1", "a", { count: 2 });
    ipam.release("a");
    expect(ipam.assign("n1", "b", { count: 2 })).toHaveLength(2);
  });
});

describe("releasing addresses", () => {
  const POOL = [{ cidr: "10.0.0.0/28", blockSize: 28 }];
  const one = parseIp("10.0.0.1");

  test("one that nobody has is told of", () => {
    const ipam = new SimulatedIpam(POOL, ["n1"]);
    ipam.assign("n1", "a");
    const options = ["10.0.0.0", "10.0.0.1", "192.0.2.1"].map((ip) => ({ address: parseIp(ip) }));
    const { notAllocated } = ipam.run(releaseIps(options, ipam.now));
    expect(notAllocated).toEqual([parseIp("192.0.2.1"), one]);
    expect(ipam.allocated.size).toBe(0);
  });

  test.each([
    ["of another handle", { handle: "b" }],
    ["of another sequence number", { sequenceNumber: 1 }],
  ])("nothing is released where one is %s", (_, what) => {
    const ipam = new SimulatedIpam(POOL, ["n1"]);
    ipam.assign("n1", "a", { count: 2 });
    const options = [{ address: parseIp("10.0.0.0") }, { address: one, ...what }];
    expect(() => ipam.run(releaseIps(options, ipam.now))).toThrow("update conflict: 10.0.0.1");
    expect(ipam.allocated.size).toBe(2);
  });

  test("a block that is nobody's goes with its last address", () => {
    const ipam = new SimulatedIpam(POOL, ["n1"]);
    ipam.assign("n1", "a");
    const owner = { type: "host", host: "n1" } as const;
    ipam.run(releaseBlockAffinity(owner, "10.0.0.0/28", DEFAULT_SETTINGS, ipam.now));
    expect(ipam.datastore.block("10.0.0.0/28").value.affinity).toBeUndefined();
    expect(ipam.run(ipsByHandle("a", ipam.now))).toEqual([parseIp("10.0.0.0")]);
    ipam.release("a");
    expect(ipam.datastore.blocks()).toEqual([]);
    expect(ipam.datastore.handles()).toEqual([]);
  });
});

test("an empty block of another node is taken over when its claim is a minute old, and not before", () => {
  const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/30", blockSize: 30 }], ["n1", "n2"]);
  ipam.datastore.settings = STRICT;
  ipam.assign("n1", "a");
  ipam.release("a");
  const refused = ipam.run(autoAssign(ipam.request("n2", "b"), ipam.now));
  expect(fulfilmentProblem(refused)).toBe(
    "Assigned 0 out of 1 requested IPv4 addresses; No more free affine blocks and strict affinity enabled",
  );
  ipam.clock.advance(60_000);
  expect(ipam.assign("n2", "b")).toHaveLength(1);
  expect(ipam.datastore.affinities().map(({ host }) => host)).toEqual(["n2"]);
});

test("a host has twenty blocks at most, or as many as the lower of configuration and request allows", () => {
  const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/24", blockSize: 31 }], ["n1"]);
  const limited = (more: object) => () => ipam.assign("n1", "pods", { count: 60, ...more });
  expect(limited({})).toThrow("cannot allocate new block due to per host block limit");
  expect(ipam.datastore.blocks()).toHaveLength(20);
  ipam.datastore.settings = { ...STRICT, maxBlocksPerHost: 22 };
  expect(limited({ maxBlocksPerHost: 30 })).toThrow("per host block limit");
  expect(ipam.datastore.blocks()).toHaveLength(22);
});

test("an IPv6 pool of which half is reserved is searched in the other half", () => {
  const ipam = new SimulatedIpam([{ cidr: "fd00::/48" }], ["n1"]);
  ipam.datastore.reserved = ["fd00::/49"];
  const [first = ""] = ipam.assign("n1", "a", { family: 6 });
  expect(first).toMatch(/^fd00:0:0:[89a-f]/);
});

test("what is used, reserved and free of a pool adds up over overlapping reservations", () => {
  const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/24", blockSize: 28 }], ["n1"]);
  const [first = ""] = ipam.assign("n1", "a", { count: 3 });
  ipam.datastore.reserved = ["10.0.0.0/25", "10.0.0.64/26", addressOf(first), "no address"];
  const [pool] = utilization(ipam.datastore).pools;
  const isInFirstHalf = (parseIp(addressOf(first)) as number) % 256 < 128;
  const reserved = isInFirstHalf ? 128 : 129;
  expect(pool).toMatchObject({ capacity: 256, inUse: 3, reserved });
  expect(pool?.available).toBe(256 - reserved - (isInFirstHalf ? 0 : 2));
});
