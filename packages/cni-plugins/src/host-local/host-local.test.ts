import type { NetworkConfigList } from "@cnilab/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { failureOf, network, TestNode } from "../../test/node.ts";
import type { RangeConfig } from "./range.ts";

function hostLocal(ipam: object, more: object = {}): NetworkConfigList {
  return network({ type: "host-local", ipam: { type: "host-local", ...ipam }, ...more });
}

const subnet = "10.1.0.0/29";

test.each<[string, readonly (readonly RangeConfig[])[], string]>([
  ["no set", [], "no IP ranges specified"],
  ["an empty set", [[]], "invalid range set 0: empty range set"],
  ["no subnet", [[{}]], "invalid range set 0: IP <nil> not v4 nor v6"],
  ["a bad subnet", [[{ subnet: "10.1/16" }]], "invalid CIDR address: 10.1/16"],
  [
    "a /31",
    [[{ subnet: "10.1.0.0/31" }]],
    "invalid range set 0: Network 10.1.0.0/31 too small to allocate from",
  ],
  [
    "an IPv6 /127",
    [[{ subnet: "fd00::/127" }]],
    "invalid range set 0: Network fd00::/127 too small to allocate from",
  ],
  [
    "host bits",
    [[{ subnet: "10.1.0.5/29" }]],
    "invalid range set 0: Network has host bits set. For a subnet mask of length 29 the network address is 10.1.0.0",
  ],
  [
    "a start outside",
    [[{ subnet, rangeStart: "10.2.0.1" }]],
    "invalid range set 0: RangeStart 10.2.0.1 not in network 10.1.0.0/29",
  ],
  [
    "an end outside",
    [[{ subnet, rangeEnd: "10.2.0.1" }]],
    "invalid range set 0: RangeEnd 10.2.0.1 not in network 10.1.0.0/29",
  ],
  [
    "an end before the start",
    [[{ subnet, rangeStart: "10.1.0.4", rangeEnd: "10.1.0.3" }]],
    "invalid range set 0: RangeStart 10.1.0.4 not in network 10.1.0.0/29",
  ],
  [
    "mixed families",
    [[{ subnet }, { subnet: "fd00::/64" }]],
    "invalid range set 0: mixed address families",
  ],
  [
    "overlapping ranges",
    [[{ subnet }, { subnet: "10.1.0.0/24" }]],
    "invalid range set 0: subnets 10.1.0.1-10.1.0.6 and 10.1.0.1-10.1.0.254 overlap",
  ],
  [
    "overlapping sets",
    [[{ subnet: "10.2.0.0/24" }], [{ subnet }], [{ subnet: "10.1.0.4/30" }]],
    "range set 1 overlaps with 2",
  ],
])("%s is refused", (_, ranges, message) => {
  const node = new TestNode();
  expect(failureOf(() => node.add(hostLocal({ ranges })))).toBe(
    `999 plugin type="host-local" failed (add): ${message}`,
  );
});

test.each([
  ["CNI_ARGS", {}, { args: "IP=10.1.0.5" }, "10.1.0.5/29"],
  ["args.cni", { args: { cni: { ips: ["10.1.0.4"] } } }, {}, "10.1.0.4/29"],
  [
    "the ips capability",
    { capabilities: { ips: true } },
    { capabilityArgs: { ips: ["10.1.0.3/24"] } },
    "10.1.0.3/29",
  ],
  ["nobody", {}, {}, "10.1.0.2/29"],
])("an address asked for by %s", (_, config, conf, expected) => {
  const node = new TestNode();
  const result = node.add(hostLocal({ subnet }, config), "c1", conf);
  expect(result.ips?.map((ip) => ip.address)).toEqual([expected]);
});

test("ranges of the runtime come before those of the configuration", () => {
  const node = new TestNode();
  const list = hostLocal({ subnet }, { capabilities: { ipRanges: true } });
  const capabilityArgs = { ipRanges: [[{ subnet: "fd00:1::/64" }]] };
  expect(node.add(list, "c1", { capabilityArgs }).ips?.map((ip) => ip.address)).toEqual([
    "fd00:1::2/64",
    "10.1.0.2/29",
  ]);
});

test("files that were there before count", () => {
  const node = new TestNode();
  const { files } = node.kernel;
  files.write("/data/net1/10.1.0.2", "old");
  files.write("/data/net1/10.1.0.3", "c9\r\neth0");
  const list = hostLocal({ subnet, dataDir: "/data" });
  expect(node.add(list).ips?.[0]?.address).toBe("10.1.0.4/29");
  node.del(list, "c9");
  node.del(list, "old");
  expect(files.list("/data/net1")).toEqual(["10.1.0.4", "last_reserved_ip.0", "lock"]);
});

test("resolv.conf becomes dns", () => {
  const node = new TestNode();
  node.kernel.files.write("/etc/r", "# x\nnameserver 10.0.0.10\nsearch a b\noptions ndots:5\n");
  expect(node.add(hostLocal({ subnet, resolvConf: "/etc/r" })).dns).toEqual({
    nameservers: ["10.0.0.10"],
    search: ["a", "b"],
    options: ["ndots:5"],
  });
});

test("no address is given twice, and a full turn lies between two uses of one", () => {
  const size = 5; // 10.1.0.2 to 10.1.0.6
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 60 }), (picks) => {
      const node = new TestNode();
      const list = hostLocal({ subnet });
      const held = new Map<string, string>();
      /** Who was held after each pick, and after which pick each address was given last. */
      const moments: string[][] = [];
      const given = new Map<string, number>();
      for (const pick of picks) {
        const id = `c${pick}`;
        if (held.delete(id)) {
          node.del(list, id);
        } else if (held.size === size) {
          expect(failureOf(() => node.add(list, id))).toContain("no IP addresses available");
        } else {
          const address = node.add(list, id).ips?.[0]?.address ?? "";
          expect([...held.values()]).not.toContain(address);
          held.set(id, address);
          const before = given.get(address);
          given.set(address, moments.length);
          // Whatever was free when its turn came was given first; the others were held then.
          if (before !== undefined) {
            const since = new Set([...moments.slice(before).flat(), ...held.values()]);
            expect(since.size).toBe(size);
          }
        }
        moments.push([...held.values()]);
      }
    }),
    { numRuns: 50 },
  );
});
