import {
  type asyncScheduler,
  auditTime,
  bufferTime,
  concatMap,
  debounceTime,
  delay,
  EMPTY,
  interval,
  mergeMap,
  type Observable,
  observeOn,
  of,
  retry,
  take,
  throwError,
  timeout,
  timer,
} from "rxjs";
import { describe, expect, test } from "vitest";
import { VirtualClock } from "./clock.ts";
import { ClockScheduler } from "./clock-scheduler.ts";

const clock = new VirtualClock();
const time = new ClockScheduler(clock);

/** What a stream emits until all is quiet, each with the virtual time since it was subscribed to. */
function emissions(stream: Observable<unknown>): string[] {
  const start = clock.now;
  const log: string[] = [];
  const note = (text: string) => log.push(`${text}@${clock.now - start}`);
  const subscription = stream.subscribe({
    next: (value) => note(JSON.stringify(value)),
    error: (error: Error) => note(error.name),
    complete: () => note("end"),
  });
  clock.settle();
  subscription.unsubscribe();
  return log;
}

/** The values 0, 1, … after these delays, each after the one before. */
function after(...delays: number[]): Observable<number> {
  return of(...delays).pipe(concatMap((ms, i) => timer(ms, time).pipe(mergeMap(() => of(i)))));
}

test.each<[string, Observable<unknown>, string[]]>([
  ["of", of(1, 2), ["1@0", "2@0", "end@0"]],
  ["observeOn", of(1, 2).pipe(observeOn(time)), ["1@0", "2@0", "end@0"]],
  ["observeOn with a delay", of(1).pipe(observeOn(time, 7)), ["1@7", "end@7"]],
  ["timer", timer(1.5, time), ["0@1.5", "end@1.5"]],
  ["timer with a period", timer(5, 10, time).pipe(take(3)), ["0@5", "1@15", "2@25", "end@25"]],
  ["interval", interval(10, time).pipe(take(2)), ["0@10", "1@20", "end@20"]],
  ["delay", after(3, 4).pipe(delay(100, time)), ["0@103", "1@107", "end@107"]],
  ["auditTime", after(1, 1, 1, 20).pipe(auditTime(10, time)), ["2@11", "3@33", "end@33"]],
  ["debounceTime", after(1, 1, 1, 20).pipe(debounceTime(10, time)), ["2@13", "3@23", "end@23"]],
  [
    "bufferTime",
    after(1, 1, 20).pipe(bufferTime(10, time)),
    ["[0,1]@10", "[]@20", "[2]@22", "end@22"],
  ],
  [
    "timeout",
    after(5, 50).pipe(timeout({ each: 10, scheduler: time })),
    ["0@5", "TimeoutError@15"],
  ],
  [
    "retry",
    throwError(() => new RangeError("no")).pipe(retry({ count: 2, delay: () => timer(10, time) })),
    ["RangeError@20"],
  ],
])("%s", (_, stream, expected) => {
  // auditTime's last value comes when its window ends after the source has completed.
  expect(emissions(stream)).toEqual(expected);
});

describe("an action", () => {
  test("runs with its state, and may schedule itself again", () => {
    const start = clock.now;
    const log: string[] = [];
    time.schedule<number>(
      function (left = 0) {
        log.push(`${left}@${clock.now - start}`);
        if (left > 0) this.schedule(left - 1, 10);
      },
      5,
      2,
    );
    clock.settle();
    expect(log).toEqual(["2@5", "1@15", "0@25"]);
  });

  test("does not run after it was unsubscribed from, and nobody waits for it", () => {
    let runs = 0;
    const action = time.schedule(() => runs++, 5);
    expect(clock.pending).toBe(1);
    action.unsubscribe();
    expect(clock.pending).toBe(0);
    clock.advance(10);
    expect(runs).toBe(0);
  });

  test("stops when it unsubscribes itself while it runs", () => {
    let runs = 0;
    time.schedule(function () {
      runs++;
      this.schedule(undefined, 1);
      this.unsubscribe();
    });
    clock.settle();
    expect(runs).toBe(1);
  });

  test("scheduled again before it ran, runs once and then", () => {
    const start = clock.now;
    const log: number[] = [];
    const action = time.schedule(() => {
      log.push(clock.now - start);
    }, 5) as ReturnType<typeof asyncScheduler.schedule> & {
      schedule(state: unknown, ms: number): void;
    };
    action.schedule(undefined, 20);
    clock.settle();
    expect(log).toEqual([20]);
  });
});

test("background actions keep nobody waiting", () => {
  const background = new ClockScheduler(clock, true);
  let ticks = 0;
  const ticking = interval(10, background).subscribe(() => ticks++);
  expect(clock.settle()).toBe(true);
  expect(ticks).toBe(0);
  clock.advance(100);
  expect(ticks).toBe(10);
  ticking.unsubscribe();
  clock.advance(100);
  expect(ticks).toBe(10);
});

test("now is virtual", () => {
  clock.advance(3);
  expect(time.now()).toBe(clock.now);
});

test("what is unsubscribed from early leaves nothing behind", () => {
  const before = clock.pending;
  for (let i = 0; i < 1_000; i++) timer(1_000_000, time).subscribe().unsubscribe();
  EMPTY.pipe(delay(5, time)).subscribe();
  expect(clock.pending).toBe(before);
});
