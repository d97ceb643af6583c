import type { IpPacket } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import { ping, Router, sctp, tcp, udp } from "../../../test/router.ts";
import { Skb } from "../../skb.ts";
import { type HookState, NF_INET_FORWARD, NFPROTO_IPV4, NFPROTO_IPV6 } from "../hooks.ts";
import { IpsetError } from "./ipset-error.ts";
import type { Direction } from "./packet-fields.ts";

const WEB = tcp("10.0.1.2:4000", "10.0.2.2:80", "S");
const WEB6 = tcp("[fd00:1::2]:4000", "[fd00:2::2]:80", "S");

/** What a rule of the forward hook that asks a set is told about a packet. */
function isIn(router: Router, set: string, packet: IpPacket, directions: string): boolean {
  const { netns, left, right } = router;
  const skb = Skb.ofIp(packet, undefined);
  skb.iif = left;
  skb.srcMac = 0x020000000001;
  const family = packet.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  const state: HookState = {
    netns,
    family,
    hook: NF_INET_FORWARD,
    in: left,
    out: right,
    okfn: () => {},
  };
  const words = directions.split(",") as Direction[];
  return netns.ipsets.find(set)?.matchesPacket(skb, state, words) === true;
}

describe("a packet", () => {
  // As ipset(8) describes each type.
  test.each<[type: string, elements: string[], directions: string, packet: IpPacket, is: boolean]>([
    ["hash:ip", ["10.0.1.2"], "src", WEB, true],
    ["hash:ip", ["10.0.1.2"], "dst", WEB, false],
    ["hash:ip", ["10.0.1.2"], "src", WEB6, false],
    ["hash:ip netmask 24", ["10.0.1.9"], "src", WEB, true],
    ["hash:ip family inet6", ["fd00:1::2"], "src", WEB6, true],
    ["hash:net", ["10.0.0.0/16"], "dst", WEB, true],
    ["hash:net", ["10.0.0.0/16", "10.0.2.0/24 nomatch"], "dst", WEB, false],
    ["hash:net", ["10.0.0.0/16 nomatch", "10.0.2.0/24"], "dst", WEB, true],
    ["hash:net family inet6", ["fd00::/16"], "dst", WEB6, true],
    ["hash:net family inet6", ["fd00:1::/32"], "dst", WEB6, false],
    ["hash:ip,port", ["10.0.2.2,tcp:80"], "dst,dst", WEB, true],
    ["hash:ip,port", ["10.0.2.2,udp:80"], "dst,dst", WEB, false],
    ["hash:ip,port", ["10.0.1.2,tcp:80"], "src,dst", WEB, true],
    ["hash:ip,port", ["10.0.2.2,tcp:80"], "dst", WEB, false],
    [
      "hash:ip,port",
      ["10.0.2.2,icmp:echo-request"],
      "dst,dst",
      ping("10.0.1.2", "10.0.2.2", 7),
      true,
    ],
    ["hash:ip,port,ip", ["10.0.2.2,tcp:80,10.0.1.2"], "dst,dst,src", WEB, true],
    ["hash:ip,port,ip", ["10.0.2.2,tcp:80,10.0.1.3"], "dst,dst,src", WEB, false],
    ["hash:ip,port,net", ["10.0.2.2,tcp:80,10.0.0.0/8"], "dst,dst,src", WEB, true],
    ["hash:net,port", ["10.0.0.0/8,tcp:80"], "src,dst", WEB, true],
    ["hash:net,net", ["10.0.1.0/24,10.0.0.0/8"], "src,dst", WEB, true],
    ["hash:net,net", ["10.0.1.0/24,10.0.0.0/24"], "src,dst", WEB, false],
    ["hash:net,iface", ["10.0.1.0/24,left"], "src,src", WEB, true],
    ["hash:net,iface", ["10.0.1.0/24,right"], "src,dst", WEB, true],
    ["hash:net,iface", ["10.0.1.0/24,right"], "src,src", WEB, false],
    ["hash:net,iface", ["10.0.1.0/24,le wildcard"], "src,src", WEB, true],
    ["hash:net,iface", ["0.0.0.0/0,left"], "src,src", WEB, true],
    ["hash:mac", ["02:00:00:00:00:01"], "src", WEB, true],
    ["hash:mac", ["02:00:00:00:00:02"], "src", WEB, false],
    ["bitmap:port range 0-1023", ["80"], "dst", WEB, true],
    ["bitmap:port range 0-1023", ["80"], "src", WEB, false],
    ["bitmap:port range 0-1023", ["80"], "dst", udp("10.0.1.2:4000", "10.0.2.2:80"), true],
    [
      "bitmap:port range 0-1023",
      ["80"],
      "dst",
      sctp("10.0.1.2:4000", "10.0.2.2:80", 1, 0, 7),
      false,
    ],
    ["bitmap:port range 0-65535", ["0-65535"], "dst", ping("10.0.1.2", "10.0.2.2", 7), false],
    ["bitmap:ip range 10.0.1.0/24", ["10.0.1.2"], "src", WEB, true],
    ["bitmap:ip range 10.0.0.0/16 netmask 24", ["10.0.1.99"], "src", WEB, true],
  ])("in %s of %j by %s", (type, elements, directions, packet, is) => {
    const router = new Router();
    router.netns.ipsets.restore(
      [`create s ${type}`, ...elements.map((element) => `add s ${element}`)].join("\n"),
    );
    expect(isIn(router, "s", packet, directions)).toBe(is);
  });

  test("is in a list by any of its members, as far as those have enough directions", () => {
    const router = new Router();
    router.netns.ipsets.restore(`
      create a hash:ip
      create b hash:ip,port
      add b 10.0.2.2,tcp:80
      create l list:set
      add l a
      add l b`);
    expect(isIn(router, "l", WEB, "dst,dst")).toBe(true);
    expect(isIn(router, "l", WEB, "dst")).toBe(false);
    router.netns.ipsets.run("add a 10.0.2.2");
    expect(isIn(router, "l", WEB, "dst")).toBe(true);
  });

  test("is counted", () => {
    const router = new Router();
    router.netns.ipsets.restore("create s hash:ip counters\nadd s 10.0.1.2");
    isIn(router, "s", WEB, "src");
    isIn(router, "s", udp("10.0.1.2:1", "10.0.2.2:2", 20), "src");
    expect(router.netns.ipsets.save("s")).toContain("add s 10.0.1.2 packets 2 bytes 88");
  });

  test("is no longer in a set when its element's time is over", () => {
    const router = new Router();
    const { ipsets } = router.netns;
    ipsets.restore("create s hash:ip timeout 10\nadd s 10.0.1.2\nadd s 10.0.2.2 timeout 0");
    router.advance(3);
    expect(ipsets.save("s")).toContain("add s 10.0.1.2 timeout 7\nadd s 10.0.2.2 timeout 0\n");
    expect(isIn(router, "s", WEB, "src")).toBe(true);
    ipsets.run("add s 10.0.1.2 -exist");
    router.advance(9.5);
    expect(ipsets.save("s")).toContain("add s 10.0.1.2 timeout 1\n");
    router.advance(0.5);
    expect(isIn(router, "s", WEB, "src")).toBe(false);
    expect(isIn(router, "s", WEB, "dst")).toBe(true);
    expect(ipsets.save("s")).not.toContain("10.0.1.2");
  });
});

describe("a rule's hold on a set", () => {
  test("stays with the name when sets are swapped, and keeps the set from going", () => {
    const [netns] = new Lab().machine("test");
    const { ipsets } = netns;
    ipsets.restore("create a hash:ip\ncreate b hash:ip\nadd b 10.0.0.1");
    const hold = ipsets.reference("a");
    expect(hold.set.size).toBe(0);
    ipsets.run("swap a b");
    expect(hold.set).toBe(ipsets.find("a"));
    expect(hold.set.size).toBe(1);
    expect(() => ipsets.run("destroy a")).toThrow("it is in use by a kernel component");
    expect(() => ipsets.run("rename a c")).toThrow("it is in use by another system");
    ipsets.release(hold);
    ipsets.run("destroy a");
    expect(ipsets.all.map(({ name }) => name)).toEqual(["b"]);
    expect(() => ipsets.reference("a")).toThrow("The set with the given name does not exist");
  });
});

describe("restore", () => {
  test("tells the line that it could not do; those before it are done", () => {
    const [netns] = new Lab().machine("test");
    const text = "create a hash:ip\n\n# names\nadd a 10.0.0.1\nadd a foo\nadd a 10.0.0.2\n";
    expect(() => netns.ipsets.restore(text)).toThrow(
      "Error in line 5: Syntax error: cannot parse foo: resolving to IPv4 address failed",
    );
    expect(netns.ipsets.find("a")?.elements()).toEqual(["10.0.0.1"]);
  });

  test("takes what save prints, whatever is in the set", () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const address = fc.tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet);
    const net = fc
      .tuple(address, fc.integer({ min: 1, max: 32 }), fc.boolean())
      .map(([a, length, nomatch]) => `${a.join(".")}/${length}${nomatch ? " nomatch" : ""}`);
    fc.assert(
      fc.property(fc.array(net, { maxLength: 20 }), address, (nets, probe) => {
        const [one] = new Lab().machine("one");
        const [other] = new Lab().machine("other");
        one.ipsets.run("create s hash:net counters comment timeout 100");
        for (const each of nets) one.ipsets.run(`add s ${each} comment "a b" -exist`);
        other.ipsets.restore(one.ipsets.save());
        expect(other.ipsets.save()).toBe(one.ipsets.save());
        expect(other.ipsets.test("s", probe.join("."))).toBe(one.ipsets.test("s", probe.join(".")));
      }),
    );
  });

  test("answers as the longest of the networks says", () => {
    const prefix = fc.tuple(fc.nat(15), fc.integer({ min: 28, max: 32 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 8 }), fc.nat(15), (prefixes, host) => {
        const [netns] = new Lab().machine("test");
        netns.ipsets.run("create s hash:net");
        const nets = new Map<string, { at: number; length: number; nomatch: boolean }>();
        for (const [value, length, nomatch] of prefixes) {
          const at = value & (0xff << (32 - length));
          netns.ipsets.run(`add s 10.0.0.${at}/${length}${nomatch ? " nomatch" : ""} -exist`);
          nets.set(`${at}/${length}`, { at, length, nomatch });
        }
        const holding = [...nets.values()]
          .filter(({ at, length }) => (host & (0xff << (32 - length))) === at)
          .sort((x, y) => y.length - x.length);
        expect(netns.ipsets.test("s", `10.0.0.${host}`)).toBe(holding[0]?.nomatch === false);
      }),
    );
  });

  test("of nonsense is refused in the tool's words", () => {
    const words =
      'create add del s hash:ip hash:net,port list:set 10.0.0.1 10.0.0.0/8 tcp:80 , - timeout 5 nomatch comment "x family inet6 range save'.split(
        " ",
      );
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 8 }), (some) => {
        const [netns] = new Lab().machine("test");
        netns.ipsets.run("create s hash:ip");
        try {
          netns.ipsets.run(some.join(" "));
        } catch (error) {
          expect(error).toBeInstanceOf(IpsetError);
        }
      }),
    );
  });
});

describe("shared elements", () => {
  test("are each set's own as soon as it changes them", () => {
    // Whatever is done to either, both are as if nothing had ever been shared.
    const place = fc.constantFrom("first", "second");
    const change = fc.constantFrom("add", "del", "flush", "share");
    const member = fc.constantFrom("10.0.0.0/8", "10.0.1.0/24", "10.0.1.2", "10.0.2.0/25");
    fc.assert(
      fc.property(fc.array(fc.tuple(place, change, member)), (changes) => {
        const sets = new Map(
          ["first", "second"].map((name) => {
            const [netns] = new Lab().machine(name);
            netns.ipsets.run("create s hash:net");
            return [name, netns.ipsets];
          }),
        );
        const wanted = new Map([...sets.keys()].map((name) => [name, new Set<string>()]));
        for (const [name, what, element] of changes) {
          const ipsets = sets.get(name);
          const other = name === "first" ? "second" : "first";
          if (what === "share") {
            const elements = sets.get(other)?.find("s")?.share();
            if (elements !== undefined) ipsets?.find("s")?.adopt(elements);
            wanted.set(name, new Set(wanted.get(other)));
          } else if (what === "flush") {
            ipsets?.run("flush s");
            wanted.get(name)?.clear();
          } else {
            ipsets?.run(`${what} s ${element} -exist`);
            if (what === "add") wanted.get(name)?.add(element);
            else wanted.get(name)?.delete(element);
          }
          for (const [each, members] of wanted) {
            expect(new Set(sets.get(each)?.find("s")?.elements())).toEqual(members);
            for (const address of ["10.0.1.2", "10.0.1.3", "10.0.2.3", "10.9.9.9"]) {
              const [fresh] = new Lab().machine("fresh");
              fresh.ipsets.run("create s hash:net");
              for (const one of members) fresh.ipsets.run(`add s ${one}`);
              expect(sets.get(each)?.test("s", address)).toBe(fresh.ipsets.test("s", address));
            }
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test("keep what is said of them to themselves", () => {
    const sets = ["a", "b"].map((name) => {
      const { ipsets } = new Lab().machine(name)[0];
      ipsets.run("create s hash:net comment");
      return ipsets;
    });
    sets[0]?.run('add s 10.0.0.0/8 comment "first"');
    const elements = sets[0]?.find("s")?.share();
    if (elements !== undefined) sets[1]?.find("s")?.adopt(elements);
    sets[1]?.run('add s 10.0.0.0/8 comment "second" -exist');
    expect(sets.map((each) => each.find("s")?.elements())).toEqual([
      ['10.0.0.0/8 comment "first"'],
      ['10.0.0.0/8 comment "second"'],
    ]);
  });

  test("are for sets of their kind", () => {
    const [netns] = new Lab().machine("test");
    for (const line of ["a hash:net", "b hash:ip", "c hash:net family inet6", "d list:set"]) {
      netns.ipsets.run(`create ${line}`);
    }
    netns.ipsets.run("create e hash:net timeout 5");
    const elements = netns.ipsets.find("a")?.share();
    if (elements === undefined) throw new Error("no set");
    for (const name of ["b", "c", "d", "e"]) {
      expect(() => netns.ipsets.find(name)?.adopt(elements)).toThrow(RangeError);
    }
    expect(() => netns.ipsets.find("e")?.share()).toThrow(RangeError);
  });
});
