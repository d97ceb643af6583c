import type { IpPacket } from "@cnilab/net";
import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { ends, Router, tcp, udp } from "../../../test/router.ts";
import { type ConntrackEntry, IPS_NAT_CLASH } from "../conntrack-entry.ts";
import {
  type HookFunction,
  NF_ACCEPT,
  NF_INET_FORWARD,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_QUEUE,
  NFPROTO_IPV4,
} from "../hooks.ts";
import { dnat, masquerade, snat } from "../nat.ts";

/** Makes packets wait between tracking and confirmation, as two CPUs make them overtake each other. */
function holdInForward(router: Router): () => void {
  const hold: HookFunction = { name: "NFQUEUE", priority: 0, run: () => NF_QUEUE };
  router.netns.netfilter.register(NFPROTO_IPV4, NF_INET_FORWARD, hold);
  return () => router.netns.netfilter.unregister(NFPROTO_IPV4, NF_INET_FORWARD, hold);
}

/** Both packets are tracked before either is confirmed. @returns how they leave */
function race(router: Router, ...packets: IpPacket[]): string[] {
  const letGo = holdInForward(router);
  for (const packet of packets) {
    expect(router.pass(packet, router.left)).toBeUndefined();
    expect(router.events).toEqual(["new", "parked"]);
  }
  letGo();
  return packets.map(() => ends(router.release()));
}

const QUERY = udp("10.0.1.2:4000", "10.96.0.10:53");

// net/netfilter/nf_conntrack_core.c nf_ct_resolve_clash
describe("two packets race for one entry", () => {
  test("of one UDP socket and with the same translation: both pass as one connection", () => {
    const router = new Router();
    router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
      dnat(skb, state, { minAddress: parseIp("10.0.2.8") }),
    );
    expect(race(router, QUERY, QUERY)).toEqual(new Array(2).fill("10.0.1.2:4000 > 10.0.2.8:53"));
    expect(router.conntrack.statistics).toMatchObject({ insert: 1, clashResolve: 1, drop: 0 });
  });

  test("of one UDP socket without NAT: both pass", () => {
    const router = new Router();
    const query = udp("10.0.1.2:4000", "10.0.2.2:53");
    expect(race(router, query, query)).toEqual([ends(query), ends(query)]);
    expect(router.conntrack.size).toBe(1);
  });

  test("of one UDP socket, sent to two backends: each gets its answer for a second", () => {
    const router = new Router();
    let backend = 8;
    router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
      dnat(skb, state, { minAddress: parseIp(`10.0.2.${backend++}`) }),
    );
    expect(race(router, QUERY, QUERY)).toEqual([
      "10.0.1.2:4000 > 10.0.2.8:53",
      "10.0.1.2:4000 > 10.0.2.9:53",
    ]);
    expect(router.conntrack.statistics).toMatchObject({ insert: 2, clashResolve: 1, drop: 0 });
    // conntrack -L does not show the loser.
    expect(router.connections).toEqual([
      "10.0.1.2:4000 > 10.96.0.10:53 | 10.0.2.8:53 > 10.0.1.2:4000",
    ]);
    for (const server of [8, 9]) {
      const answer = router.pass(udp(`10.0.2.${server}:53`, "10.0.1.2:4000"), router.right);
      expect(ends(answer)).toBe("10.96.0.10:53 > 10.0.1.2:4000");
    }
    // Further queries follow the winner, and the loser is gone after its second.
    expect(ends(router.pass(QUERY, router.left))).toBe("10.0.1.2:4000 > 10.0.2.8:53");
    const losers: ConntrackEntry[] = [];
    router.conntrack.delete((entry) => {
      if ((entry.status & IPS_NAT_CLASH) !== 0) losers.push(entry);
      return false;
    });
    expect(losers.map((entry) => entry.remainingMs)).toEqual([1000]);
    router.advance(1);
    router.pass(udp("10.0.2.9:53", "10.0.1.2:4000"), router.right);
    expect(router.events[0]).toBe("new");
  });

  test.each([
    ["insert", "one backend", ["10.0.2.8", "10.0.2.8"]],
    ["insert", "two backends", ["10.0.2.8", "10.0.2.9"]],
    ["matching", "one backend", ["10.0.2.8", "10.0.2.8"]],
    ["matching", "two backends", ["10.0.2.8", "lost"]],
    ["untranslated", "one backend", ["10.0.2.8", "lost"]],
    ["untranslated", "two backends", ["10.0.2.8", "lost"]],
  ] as const)("clash resolution %s and NAT to %s: %j", (clashResolution, backends, expected) => {
    const router = new Router();
    router.netns.kernel.clashResolution = clashResolution;
    let asked = 0;
    router.nat(NF_INET_PRE_ROUTING, (skb, state) => {
      const second = backends === "two backends" && asked++ > 0;
      return dnat(skb, state, { minAddress: parseIp(second ? "10.0.2.9" : "10.0.2.8") });
    });
    expect(race(router, QUERY, QUERY)).toEqual(
      expected.map((to) => (to === "lost" ? to : `10.0.1.2:4000 > ${to}:53`)),
    );
    const lost = expected.filter((to) => to === "lost").length;
    expect(router.conntrack.statistics.insertFailed).toBe(lost);
  });

  test.each(["insert", "matching", "untranslated"] as const)(
    "clash resolution %s without NAT: both pass",
    (clashResolution) => {
      const router = new Router();
      router.netns.kernel.clashResolution = clashResolution;
      const query = udp("10.0.1.2:4000", "10.0.2.2:53");
      expect(race(router, query, query)).toEqual([ends(query), ends(query)]);
    },
  );

  test("of two clients that get the same source: the loser is dropped, and its retry 5 s later passes", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) =>
      snat(skb, state, { minAddress: parseIp("10.0.2.1") }),
    );
    const other = udp("10.0.1.3:4000", "10.0.2.2:53");
    // Here both wait behind NAT, so both found the port free.
    const hold: HookFunction = { name: "NFQUEUE", priority: 200, run: () => NF_QUEUE };
    router.netns.netfilter.register(NFPROTO_IPV4, NF_INET_POST_ROUTING, hold);
    router.pass(udp("10.0.1.2:4000", "10.0.2.2:53"), router.left);
    router.pass(other, router.left);
    expect(ends(router.release())).toBe("10.0.2.1:4000 > 10.0.2.2:53");
    expect(router.release()).toBeUndefined();
    expect(router.drop?.reason).toBe("CONNTRACK_CLASH");
    expect(router.conntrack.statistics).toMatchObject({
      insertFailed: 1,
      drop: 1,
      clashResolve: 0,
    });
    router.netns.netfilter.unregister(NFPROTO_IPV4, NF_INET_POST_ROUTING, hold);
    // resolv.conf(5): options timeout, 5 seconds
    router.advance(5);
    expect(ends(router.pass(other, router.left))).toMatch(/^10\.0\.2\.1:\d+ > 10\.0\.2\.2:53$/);
    expect(router.conntrack.statistics.insertFailed).toBe(1);
  });

  test("with fully random ports two clients do not clash", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, { fullyRandom: true }));
    const there = race(
      router,
      udp("10.0.1.2:4000", "10.0.2.2:53"),
      udp("10.0.1.3:4000", "10.0.2.2:53"),
    );
    expect(new Set(there).size).toBe(2);
    expect(router.conntrack.statistics.insertFailed).toBe(0);
  });

  test("TCP has no such tolerance: the second SYN is dropped", () => {
    const router = new Router();
    const syn = tcp("10.0.1.2:4000", "10.0.2.2:80", "S");
    expect(race(router, syn, syn)).toEqual([ends(syn), "lost"]);
    expect(router.conntrack.statistics).toMatchObject({ insertFailed: 1, drop: 1 });
  });
});

test("copies of one packet share its new connection", () => {
  const router = new Router();
  const query = udp("10.0.1.2:4000", "10.0.2.2:53");
  const letGo = holdInForward(router);
  router.pass(query, router.left);
  letGo();
  const [waiting] = router.netns.netfilter.queued;
  const copy = waiting?.skb.clone();
  expect(ends(router.release())).toBe(ends(query));
  expect(copy?.ct?.isConfirmed).toBe(true);
  expect(copy && router.conntrack.confirm(copy)).toBe(NF_ACCEPT);
  expect(router.conntrack.size).toBe(1);
});
