import { expect, test } from "vitest";
import { ends, Router, udp } from "../test/router.ts";

const DROP = "-p udp --dport 53 -j DROP";
const QUERY = udp("10.0.1.2:4000", "10.0.2.2:53");

/** A router with a rule that is put off. @returns how often it was programmed */
function puttingOff(): { readonly router: Router; readonly times: () => number } {
  const router = new Router();
  let times = 0;
  router.netns.putOff("agent", () => {
    times++;
    router.netns.iptables(4).append("filter", "FORWARD", DROP);
  });
  return { router, times: () => times };
}

test("what was put off is there for the first packet", () => {
  const { router, times } = puttingOff();
  expect(times()).toBe(0);
  expect(ends(router.pass(QUERY, router.left))).toBe("lost");
  expect(ends(router.pass(QUERY, router.left))).toBe("lost");
  expect(times()).toBe(1);
});

test("what was put off is there for whoever looks", () => {
  const { router, times } = puttingOff();
  expect(router.netns.iptables(4).save("filter")).toContain("-A FORWARD -p udp -m udp --dport 53");
  expect(times()).toBe(1);
});

test("a packet that passed before meets what was put off since", () => {
  const router = new Router();
  expect(ends(router.pass(QUERY, router.left))).not.toBe("lost");
  router.netns.putOff("agent", () => router.netns.iptables(4).append("filter", "FORWARD", DROP));
  expect(ends(router.pass(QUERY, router.left))).toBe("lost");
});

test("of one program only the last counts, of several each", () => {
  const { router, times } = puttingOff();
  const done: string[] = [];
  router.netns.putOff("agent", () => done.push("agent"));
  router.netns.putOff("another", () => done.push("another"));
  router.netns.catchUp();
  router.netns.catchUp();
  expect(done).toEqual(["agent", "another"]);
  expect(times()).toBe(0);
});
