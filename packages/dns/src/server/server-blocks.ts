import { type IpAddress, tryParseIp } from "@cnilab/net";
import {
  type CorefileSource,
  type Directive,
  parseCorefile,
  type ServerBlock,
} from "../corefile/corefile.ts";
import { CorefileError, type Token } from "../corefile/corefile-error.ts";
import { PluginArguments } from "../corefile/directive-cursor.ts";
import { parseZone, splitScheme } from "../corefile/zone-names.ts";
import type { DnsLogLine } from "./core-dns.ts";
import type { PluginContext } from "./plugin.ts";
import { OTHER_PLUGINS, orderedPlugins, PASSIVE_PLUGINS, PLUGIN_NAMES } from "./plugin-list.ts";
import { type Handler, NO_NEXT_PLUGIN } from "./request.ts";

/** Where DNS is served if a key names no port. */
const DEFAULT_PORT = 53;

/** A server block that is ready to answer. */
export interface BuiltBlock {
  readonly zones: readonly {
    readonly zone: string;
    readonly port: number;
    readonly token: Token;
  }[];
  /** `bind` addresses; empty for all. */
  readonly addresses: readonly IpAddress[];
  /** Undefined for a block without plugins, which refuses. */
  readonly chain: Handler | undefined;
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly at: Token;
}

type BlockContext = Pick<PluginContext, "options" | "readFile">;

/** Reads a Corefile and makes the chain of plugins of each block. @throws CorefileError */
export function buildBlocks(source: CorefileSource, context: BlockContext): BuiltBlock[] {
  const blocks = parseCorefile(source);
  if (blocks.length === 0)
    throw new CorefileError("there is no server block in it", { file: source.file, line: 1 });
  return blocks.map((block) => buildBlock(block, context));
}

function buildBlock(
  { keys, directives }: ServerBlock,
  { options, readFile }: BlockContext,
): BuiltBlock {
  const zones = keys.flatMap(zonesOf);
  const uses = new Map<string, PluginArguments[]>();
  for (const directive of directives) {
    checkKnown(directive);
    const there = uses.get(directive.name.text) ?? [];
    uses.set(directive.name.text, [...there, new PluginArguments(directive)]);
  }
  const root = uses.get("root")?.at(-1)?.words[0] ?? "";
  const addresses = (uses.get("bind") ?? []).flatMap(bindAddresses);
  const handlers = new Map<string, Handler>();
  const context: PluginContext = {
    options,
    zones: zones.map(({ zone }) => zone),
    root,
    readFile: (path) => readFile(root === "" || path.startsWith("/") ? path : `${root}/${path}`),
    bound: addresses.length > 0,
    warn: (text) => options.log?.({ level: "WARNING", text } satisfies DnsLogLine),
    handlers,
  };
  // Set up in order, put together from the end.
  const makers: [string, (next: Handler) => Handler][] = [];
  for (const [name, setup] of orderedPlugins(options.pluginOrder ?? "v1.15")) {
    const used = uses.get(name);
    const make = used === undefined ? undefined : setup(used, context);
    if (make !== undefined) makers.push([name, make]);
  }
  let chain: Handler = NO_NEXT_PLUGIN;
  for (const [name, make] of makers.reverse()) {
    chain = make(chain);
    handlers.set(name, chain);
  }
  return {
    zones,
    addresses,
    chain: makers.length === 0 ? undefined : chain,
    handlers,
    at: keys[0] as Token,
  };
}

function zonesOf(token: Token): BuiltBlock["zones"] {
  const { scheme } = splitScheme(token.text);
  if (scheme !== "dns")
    throw new CorefileError(`serving DNS over ${scheme} is not modelled`, token);
  const parsed = parseZone(token.text);
  if ("problem" in parsed) throw new CorefileError(parsed.problem, token);
  const port = parsed.port ?? DEFAULT_PORT;
  return parsed.zones.map((zone) => ({ zone, port, token }));
}

function checkKnown({ name }: Directive): void {
  const { text } = name;
  if (PLUGIN_NAMES.includes(text) || PASSIVE_PLUGINS.has(text)) return;
  if (OTHER_PLUGINS.has(text)) {
    throw new CorefileError(
      `the plugin '${text}' is not modelled; take it out to try the rest`,
      name,
    );
  }
  throw new CorefileError(`Unknown directive '${text}'`, name);
}

function bindAddresses(use: PluginArguments): IpAddress[] {
  if (use.args.length === 0) throw use.error("it needs at least one address");
  for (const property of use.properties) {
    if (property.name.text !== "except") throw use.unknown(property, ["except"]);
  }
  return use.args.map((token) => {
    const address = tryParseIp(token.text);
    if (address !== undefined) return address;
    throw use.error(
      `"${token.text}" is not an address (names of interfaces are not modelled)`,
      token,
    );
  });
}
