import type { HostFiles } from "./host-files.ts";

/**
 * A node's operating system, as far as all kinds share it. An engine that programs Linux takes the
 * `Kernel` of `@cnilab/linux`, which is one; another dataplane brings its own.
 */
export interface Machine {
  readonly os: "linux" | "windows";
  readonly hostname: string;
  readonly files: HostFiles;
}

/** Where the containers of one pod meet the network: a network namespace on Linux. */
export interface Sandbox {
  /** Path that names it, as `/run/netns/…`. */
  readonly path: string;
}
