import type { IpPacket } from "@cnilab/net";
import { beforeEach, describe, expect, test } from "vitest";
import { ping, Router, tcp, udp } from "../../test/router.ts";

/** Each way that agents limit connections in: three of one destination at a time, whoever asks. */
const LIMITS: readonly (readonly [string, (router: Router) => void])[] = [
  [
    "connlimit",
    (router) => {
      const rule = "-m connlimit --connlimit-above 3 --connlimit-mask 0 -j DROP";
      router.netns.iptables(4).append("filter", "FORWARD", rule);
    },
  ],
  [
    "ct count",
    (router) => {
      router.netns.nftables.apply(`table ip t {
        chain c { type filter hook forward priority 0; ct count over 3 drop; }
      }`);
    },
  ],
];

let router: Router;
beforeEach(() => {
  router = new Router();
});

/** Whether it got through. */
function passes(packet: IpPacket, from = router.left): boolean {
  router.pass(packet, from);
  return router.drop?.rule === undefined;
}

const ask = (port: number) => udp(`10.0.1.2:${port}`, "10.0.2.2:53");

describe.each(LIMITS)("%s", (_, limit) => {
  beforeEach(() => limit(router));

  test("lets no more connections in than it says, and leaves those alone that are there", () => {
    expect([4001, 4002, 4003, 4004, 4001].map((port) => passes(ask(port)))).toEqual([
      true,
      true,
      true,
      false,
      true,
    ]);
  });

  test("counts a connection whose packet it dropped no more", () => {
    for (const port of [4001, 4002, 4003, 4004, 4005]) passes(ask(port));
    expect(passes(ask(4001))).toBe(true);
  });

  test("counts each protocol's", () => {
    for (const port of [4001, 4002]) passes(ask(port));
    expect(passes(ping("10.0.1.2", "10.0.2.2", 7))).toBe(true);
    expect(passes(ping("10.0.1.2", "10.0.2.2", 8))).toBe(false);
  });

  test("has room when connections have ended", () => {
    for (const port of [4001, 4002, 4003]) passes(ask(port));
    expect(passes(ask(4004))).toBe(false);
    // nf_conntrack_udp_timeout
    router.advance(31);
    expect(passes(ask(4004))).toBe(true);
  });

  test("does not count TCP that is closed", () => {
    const syn = (port: number) => tcp(`10.0.1.2:${port}`, "10.0.2.2:80", "S");
    for (const port of [1, 2, 3]) expect(passes(syn(port))).toBe(true);
    expect(passes(syn(4))).toBe(false);
    expect(passes(tcp("10.0.2.2:80", "10.0.1.2:1", "RA"), router.right)).toBe(true);
    expect(passes(syn(4))).toBe(true);
  });
});
