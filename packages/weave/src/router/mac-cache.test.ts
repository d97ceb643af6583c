import { VirtualClock } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { MacCache } from "./mac-cache.ts";

const MINUTE = 60_000;
const [A, B] = ["00:00:00:00:00:0a", "00:00:00:00:00:0b"];

function cache() {
  const clock = new VirtualClock();
  return { clock, macs: new MacCache(clock) };
}

describe("where a MAC is", () => {
  test("a MAC stays where it is, unless a peer insists", () => {
    const { macs } = cache();
    expect(macs.add(1, A)).toBeUndefined();
    expect(macs.add(1, A)).toBeUndefined();
    expect(macs.add(1, B)).toBe(A);
    expect(macs.lookup(1)).toBe(A);
    macs.addForced(1, B);
    expect(macs.lookup(1)).toBe(B);
    expect(macs.lookup(2)).toBeUndefined();
  });

  test("those of a peer go together, also those that came from another", () => {
    const { macs } = cache();
    macs.add(1, A);
    macs.add(2, A);
    macs.add(3, B);
    macs.addForced(2, B);
    macs.delete(B);
    expect([...macs.entries().keys()]).toEqual([1]);
    macs.delete(A);
    expect(macs.entries().size).toBe(0);
  });
});

describe("age", () => {
  // An entry may be a minute older than ten, as it is looked for each minute.
  test.each([
    ["never seen again", [], 10, true],
    ["never seen again", [], 11, false],
    ["seen within a minute: that does not count", [0.5], 11, false],
    ["seen after two minutes", [2], 12, true],
    ["seen after two minutes", [2], 13, false],
    ["seen all the time", [3, 6, 9, 12, 15], 24, true],
  ])("%s", (_, seen, after, isThere) => {
    const { clock, macs } = cache();
    macs.add(1, A);
    for (const minute of seen) {
      clock.advance(minute * MINUTE - clock.now);
      macs.add(1, A);
    }
    clock.advance(after * MINUTE - clock.now);
    expect(macs.lookup(1)).toBe(isThere ? A : undefined);
  });

  test("an empty cache leaves the clock alone", () => {
    const { clock, macs } = cache();
    macs.add(1, A);
    clock.advance(20 * MINUTE);
    expect(macs.entries().size).toBe(0);
    let ran = 0;
    clock.schedule(MINUTE, () => ran++);
    clock.advance(2 * MINUTE);
    expect(ran).toBe(1);
    macs.add(1, A);
    macs.stop();
    clock.advance(60 * MINUTE);
    expect(macs.lookup(1)).toBe(A);
  });
});
