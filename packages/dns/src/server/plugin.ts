import type { PluginArguments } from "../corefile/directive-cursor.ts";
import type { CoreDnsOptions } from "./core-dns.ts";
import type { Handler } from "./request.ts";

/** What a plugin knows of the server block that it is used in. */
export interface PluginContext {
  readonly options: CoreDnsOptions;
  /** Zones of the block's keys, normalised. */
  readonly zones: readonly string[];
  /** `root`'s argument. */
  readonly root: string;
  /** The text of a file that the Corefile names. */
  readonly readFile: (path: string) => string | undefined;
  /** Whether the block has `bind`: CoreDNS takes its own addresses from the interfaces only without it. */
  readonly bound: boolean;
  readonly warn: (text: string) => void;
  /** Plugins of this block by name, once all are there. */
  readonly handlers: ReadonlyMap<string, Handler>;
}

/** Makes the plugin out of its uses in a block. @throws CorefileError */
export type PluginSetup = (
  uses: readonly PluginArguments[],
  context: PluginContext,
) => ((next: Handler) => Handler) | undefined;

/** For plugins that may stand in a block only once. */
export function onlyUse(uses: readonly PluginArguments[]): PluginArguments {
  const [first, second] = uses;
  if (second !== undefined) {
    throw second.error("this plugin can only be used once per server block");
  }
  return first as PluginArguments;
}
