/** CPU seconds that `work` takes on this thread, user and system. */
export function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/**
 * How often a CPU second has room for `step`: the best of several rounds, the first of which warms up.
 * A round repeats `step` for about a fifth of a second.
 */
export function perCpuSecond(step: (times: number) => void, rounds = 5): number {
  let times = 64;
  while (cpuSeconds(() => step(times)) < 0.1) times *= 2;
  let best = 0;
  for (let round = 0; round < rounds; round++) {
    best = Math.max(best, times / cpuSeconds(() => step(times)));
  }
  return best;
}

/** Bytes on the heap and in buffers, after the garbage is gone. */
export function liveBytes(): number {
  for (let i = 0; i < 4; i++) globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
