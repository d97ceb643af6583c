import type { Clock } from "@cnilab/core";
import type { IpamDatastore } from "./datastore.ts";

/** One call of the datastore. */
export type DatastoreCall = (datastore: IpamDatastore) => unknown;

/**
 * What IPAM does, call by call: between two calls others may have theirs. So one text serves a client whose calls take no time, and clients
 * that race for a block with calls that take some.
 */
export type IpamSteps<T> = Generator<DatastoreCall, T, unknown>;

/** Asks the datastore. @throws what it throws */
export function* ask<T>(call: (datastore: IpamDatastore) => T): IpamSteps<T> {
  return (yield call) as T;
}

/** Does all at once. */
export function runNow<T>(steps: IpamSteps<T>, datastore: IpamDatastore): T {
  let next = steps.next();
  while (!next.done) {
    let answer: unknown;
    try {
      answer = next.value(datastore);
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(answer);
  }
  return next.value;
}

/** Tells how it ended, on the clock. */
export interface IpamOutcome<T> {
  done(result: T): void;
  failed(error: unknown): void;
}

/**
 * Does it on the clock: each call reaches the datastore after half of its latency, and its answer comes back after the other half.
 * @param latencyMs of the next call
 */
export function runOnClock<T>(
  steps: IpamSteps<T>,
  datastore: IpamDatastore,
  clock: Clock,
  latencyMs: () => number,
  outcome: IpamOutcome<T>,
): void {
  const goOn = (resume: () => IteratorResult<DatastoreCall, T>): void => {
    let next: IteratorResult<DatastoreCall, T>;
    try {
      next = resume();
    } catch (error) {
      outcome.failed(error);
      return;
    }
    if (next.done) {
      outcome.done(next.value);
      return;
    }
    const call = next.value;
    const half = latencyMs() / 2;
    clock.schedule(half, () => {
      const answer = resumption(steps, call, datastore);
      clock.schedule(half, () => goOn(answer));
    });
  };
  goOn(() => steps.next());
}

/** Calls the datastore now; what comes of it is handed to the steps later. */
function resumption<T>(
  steps: IpamSteps<T>,
  call: DatastoreCall,
  datastore: IpamDatastore,
): () => IteratorResult<DatastoreCall, T> {
  try {
    const answer = call(datastore);
    return () => steps.next(answer);
  } catch (error) {
    return () => steps.throw(error);
  }
}
