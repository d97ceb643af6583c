import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Median time of one of `count` operations that `run` does, in nanoseconds. */
export function nanosecondsPer(count: number, run: () => unknown): number {
  const times: number[] = [];
  const end = performance.now() + 400;
  do {
    const start = performance.now();
    run();
    times.push(performance.now() - start);
  } while (performance.now() < end || times.length < 5);
  times.sort((x, y) => x - y);
  return ((times[times.length >> 1] as number) * 1e6) / count;
}

/** What `create` returns, and the bytes that it holds on the heap and in array buffers. */
export function bytesInUse<T>(create: () => T): { result: T; bytes: number } {
  const before = liveBytes();
  const result = create();
  return { result, bytes: liveBytes() - before };
}

function liveBytes(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** A seeded generator of unsigned 32-bit numbers (mulberry32). */
export function randomUint32(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}
