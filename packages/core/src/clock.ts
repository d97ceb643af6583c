/**
 * Time in this simulator is virtual: milliseconds since the start of the run, fractions allowed. It
 * moves only when somebody runs the clock, and then jumps from one task to the next.
 */
export interface Clock {
  /** Virtual milliseconds since the start. */
  readonly now: number;
  /**
   * Runs `task` after `delayMs` (at least 0). Tasks due at one moment run in the order in which they
   * were scheduled. A background task (a resync, a lease renewal, a cache expiry) does not keep
   * {@link VirtualClock.settle} waiting.
   */
  schedule(delayMs: number, task: () => void, options?: { readonly background?: boolean }): Timer;
}

/** A task that has not run yet. */
export interface Timer {
  cancel(): void;
}

class Task implements Timer {
  readonly at: number;
  readonly order: number;
  readonly background: boolean;
  run: (() => void) | undefined;
  #onCancel: (task: Task) => void;

  constructor(
    at: number,
    order: number,
    background: boolean,
    run: () => void,
    onCancel: (task: Task) => void,
  ) {
    this.at = at;
    this.order = order;
    this.background = background;
    this.run = run;
    this.#onCancel = onCancel;
  }

  cancel(): void {
    if (this.run === undefined) return;
    this.run = undefined;
    this.#onCancel(this);
  }
}

/** Cancelled tasks that may wait in the heap before it is worth while to look for them. */
const CANCELLED_MIN = 64;

/** A clock that a program turns by hand; deterministic. Tasks wait in a binary heap. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  #foreground = 0;
  /** Tasks in the heap that were cancelled. */
  #cancelled = 0;
  #heap: Task[] = [];
  readonly #listeners = new Set<() => void>();

  get now(): number {
    return this.#now;
  }

  /** Foreground tasks that wait: 0 when the system is quiet. */
  get pending(): number {
    return this.#foreground;
  }

  /** Calls `listener` just before time moves, so that it can settle accounts of the moment that ends. */
  beforeAdvance(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  schedule(delayMs: number, task: () => void, options?: { readonly background?: boolean }): Timer {
    if (!(delayMs >= 0) || delayMs === Number.POSITIVE_INFINITY) {
      throw new RangeError(`a delay must be a number of milliseconds, not ${delayMs}`);
    }
    const background = options?.background ?? false;
    const item = new Task(this.#now + delayMs, this.#order++, background, task, this.#onCancel);
    if (!background) this.#foreground++;
    push(this.#heap, item);
    return item;
  }

  readonly #onCancel = (task: Task): void => {
    if (!task.background) this.#foreground--;
    // Who sets a far timer anew with each packet must not fill the heap with old ones.
    if (++this.#cancelled > CANCELLED_MIN && this.#cancelled > this.#heap.length / 2) {
      this.#sweep();
    }
  };

  #sweep(): void {
    const waiting = this.#heap.filter(({ run }) => run !== undefined);
    this.#heap = [];
    this.#cancelled = 0;
    for (const task of waiting) push(this.#heap, task);
  }

  /** Runs the next task and moves time to it. False when there is none up to `until`. */
  step(until: number = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) return false;
      const run = next.run;
      if (run === undefined) {
        pop(this.#heap);
        this.#cancelled--;
        continue;
      }
      if (next.at > this.#now) {
        this.#endMoment();
        // Settling accounts may have put off the very task that was to run.
        if (this.#heap[0] !== next || next.run === undefined) continue;
        this.#now = next.at;
      }
      pop(this.#heap);
      next.run = undefined;
      if (!next.background) this.#foreground--;
      run();
      return true;
    }
  }

  /** Runs everything due in the next `ms` milliseconds, background tasks too, and moves time there. */
  advance(ms: number): void {
    this.runUntil(this.#now + ms);
  }

  /** Runs everything due up to virtual time `at`, and moves time there. */
  runUntil(at: number): void {
    for (;;) {
      while (this.step(at)) {}
      if (at <= this.#now) return;
      this.#endMoment();
      // Settling accounts may have scheduled something for the time until then.
      const next = this.#heap[0];
      if (next === undefined || next.at > at) break;
    }
    this.#now = at;
  }

  /**
   * Runs until no foreground task waits; background tasks run as time passes them.
   * @param limitMs virtual milliseconds after which to give up
   * @returns whether all is quiet
   */
  settle(limitMs: number = 3_600_000): boolean {
    const until = this.#now + limitMs;
    while (this.#foreground > 0) if (!this.step(until)) return false;
    return true;
  }

  #endMoment(): void {
    for (const listener of this.#listeners) listener();
  }
}

function before(x: Task, y: Task): boolean {
  return x.at < y.at || (x.at === y.at && x.order < y.order);
}

function push(heap: Task[], task: Task): void {
  let i = heap.length;
  heap.push(task);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const above = heap[parent] as Task;
    if (!before(task, above)) break;
    heap[i] = above;
    i = parent;
  }
  heap[i] = task;
}

function pop(heap: Task[]): void {
  const last = heap.pop() as Task;
  const size = heap.length;
  if (size === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= size) break;
    if (child + 1 < size && before(heap[child + 1] as Task, heap[child] as Task)) child++;
    const below = heap[child] as Task;
    if (!before(below, last)) break;
    heap[i] = below;
    i = child;
  }
  heap[i] = last;
}
