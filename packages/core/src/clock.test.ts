import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Timer, VirtualClock } from "./clock.ts";

/** A clock, and a log of the tasks that ran on it with their times. */
function logging(): {
  clock: VirtualClock;
  log: string[];
  at: (delay: number, name: string) => Timer;
} {
  const clock = new VirtualClock();
  const log: string[] = [];
  const at = (delay: number, name: string) =>
    clock.schedule(delay, () => log.push(`${name}@${clock.now}`));
  return { clock, log, at };
}

describe("order", () => {
  test("is that of time, then that of scheduling", () => {
    const { clock, log, at } = logging();
    at(5, "c");
    at(1, "a");
    at(5, "d");
    at(1.5, "b");
    at(5, "e");
    clock.advance(5);
    expect(log).toEqual(["a@1", "b@1.5", "c@5", "d@5", "e@5"]);
  });

  test("is the same for any delays as a stable sort's", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (delays) => {
        const clock = new VirtualClock();
        const ran: number[] = [];
        for (const [i, delay] of delays.entries()) clock.schedule(delay, () => ran.push(i));
        clock.settle();
        const sorted = [...delays.keys()].sort((x, y) => (delays[x] ?? 0) - (delays[y] ?? 0));
        expect(ran).toEqual(sorted);
      }),
    );
  });

  test("a task without delay runs after those that already wait for this moment", () => {
    const { clock, log, at } = logging();
    clock.schedule(1, () => at(0, "after"));
    at(1, "before");
    clock.settle();
    expect(log).toEqual(["before@1", "after@1"]);
  });
});

test.each([[-1], [Number.NaN], [Number.POSITIVE_INFINITY]])("%d is no delay", (delay) => {
  expect(() => new VirtualClock().schedule(delay, () => {})).toThrow(
    new RangeError(`a delay must be a number of milliseconds, not ${delay}`),
  );
});

describe("time moves", () => {
  test("to the next task by a step", () => {
    const { clock, log, at } = logging();
    at(3, "a");
    at(7, "b");
    expect(clock.step()).toBe(true);
    expect(clock.now).toBe(3);
    expect(clock.step(6)).toBe(false);
    expect(clock.now).toBe(3);
    expect(clock.step()).toBe(true);
    expect(clock.step()).toBe(false);
    expect(log).toEqual(["a@3", "b@7"]);
  });

  test("by what it is told to advance, whether something is due or not", () => {
    const { clock, log, at } = logging();
    at(3, "a");
    at(7, "b");
    clock.advance(5);
    expect([clock.now, ...log]).toEqual([5, "a@3"]);
    clock.runUntil(2);
    expect(clock.now).toBe(5);
    clock.runUntil(7);
    expect([clock.now, ...log]).toEqual([7, "a@3", "b@7"]);
  });

  test("to tasks that tasks schedule", () => {
    const { clock, log, at } = logging();
    clock.schedule(1, () => at(1, "second"));
    clock.schedule(1, () => at(10, "late"));
    clock.advance(5);
    expect(log).toEqual(["second@2"]);
  });
});

describe("settling", () => {
  test("waits for foreground tasks, and runs background ones on the way", () => {
    const { clock, log, at } = logging();
    clock.schedule(1, () => log.push("resync"), { background: true });
    at(2, "work");
    clock.schedule(3, () => log.push("expiry"), { background: true });
    expect(clock.pending).toBe(1);
    expect(clock.settle()).toBe(true);
    expect(log).toEqual(["resync", "work@2"]);
    expect([clock.now, clock.pending]).toEqual([2, 0]);
  });

  test("goes on while tasks lead to further ones", () => {
    const { clock, log, at } = logging();
    clock.schedule(1, () => at(1, "second"));
    expect(clock.settle()).toBe(true);
    expect(log).toEqual(["second@2"]);
  });

  test("gives up after its limit, and can go on later", () => {
    const { clock, log, at } = logging();
    at(10, "a");
    at(30, "b");
    expect(clock.settle(20)).toBe(false);
    expect(log).toEqual(["a@10"]);
    expect(clock.pending).toBe(1);
    expect(clock.settle(20)).toBe(true);
    expect(log).toEqual(["a@10", "b@30"]);
  });

  test("gives up on what never ends", () => {
    const clock = new VirtualClock();
    const again = () => {
      clock.schedule(1000, again);
    };
    again();
    expect(clock.settle(60_000)).toBe(false);
    expect(clock.now).toBe(60_000);
  });

  test("needs nothing where nothing waits", () => {
    const clock = new VirtualClock();
    clock.schedule(1, () => {}, { background: true });
    expect(clock.settle()).toBe(true);
    expect(clock.now).toBe(0);
  });
});

describe("a cancelled task", () => {
  test("does not run, and nobody waits for it", () => {
    const { clock, log, at } = logging();
    const timer = at(1, "a");
    at(2, "b").cancel();
    expect(clock.pending).toBe(1);
    timer.cancel();
    timer.cancel();
    expect(clock.pending).toBe(0);
    clock.advance(5);
    expect(log).toEqual([]);
  });

  test("may be cancelled by another of the same moment", () => {
    const { clock, log, at } = logging();
    const timers: Timer[] = [];
    clock.schedule(1, () => timers[0]?.cancel());
    timers.push(at(1, "a"));
    clock.settle();
    expect(log).toEqual([]);
  });

  test("that has run already is nothing to cancel", () => {
    const { clock, at } = logging();
    const timer = at(1, "a");
    at(2, "b");
    clock.step();
    timer.cancel();
    expect(clock.pending).toBe(1);
  });

  test("leaves order and number of the others alone, however many there are", () => {
    const task = fc.tuple(fc.nat(20), fc.boolean(), fc.boolean());
    fc.assert(
      fc.property(fc.array(task, { maxLength: 300, size: "max" }), (tasks) => {
        const clock = new VirtualClock();
        const ran: number[] = [];
        const timers = tasks.map(([delay, , background], i) =>
          clock.schedule(delay, () => ran.push(i), { background }),
        );
        for (const [i, [, cancelled]] of tasks.entries()) if (cancelled) timers[i]?.cancel();
        const left = [...tasks.keys()].filter((i) => !tasks[i]?.[1]);
        expect(clock.pending).toBe(left.filter((i) => !tasks[i]?.[2]).length);
        clock.advance(20);
        expect(ran).toEqual(left.sort((x, y) => (tasks[x]?.[0] ?? 0) - (tasks[y]?.[0] ?? 0)));
        expect(clock.pending).toBe(0);
      }),
    );
  });
});

test("a task that throws is over, and the clock goes on", () => {
  const { clock, log, at } = logging();
  clock.schedule(1, () => {
    throw new Error("broken");
  });
  at(2, "a");
  expect(() => clock.settle()).toThrow("broken");
  expect(clock.settle()).toBe(true);
  expect(log).toEqual(["a@2"]);
});

describe("before time moves", () => {
  test("listeners are called, once a moment", () => {
    const { clock, log, at } = logging();
    const stop = clock.beforeAdvance(() => log.push(`end of ${clock.now}`));
    at(0, "a");
    at(2, "b");
    at(2, "c");
    clock.advance(3);
    expect(log).toEqual(["a@0", "end of 0", "b@2", "c@2", "end of 2"]);
    stop();
    clock.advance(1);
    expect(log).toHaveLength(5);
  });

  test("a listener may put off the task that was to run", () => {
    const { clock, log, at } = logging();
    let expiry = at(10, "expired");
    const stop = clock.beforeAdvance(() => {
      stop();
      expiry.cancel();
      expiry = at(15, "expired");
    });
    clock.settle();
    expect(log).toEqual(["expired@15"]);
  });

  test("a listener may schedule a task for the time that is jumped over", () => {
    const { clock, log, at } = logging();
    const stop = clock.beforeAdvance(() => {
      stop();
      at(1, "a");
    });
    clock.advance(10);
    expect(log).toEqual(["a@1"]);
    expect(clock.now).toBe(10);
  });
});
