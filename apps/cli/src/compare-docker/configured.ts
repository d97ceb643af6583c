/** What a person writes down so that an application's parts find each other. */
export type ConfiguredKind = "addresses" | "ports" | "routes" | "names" | "rules";

export const CONFIGURED_KINDS: readonly ConfiguredKind[] = [
  "addresses",
  "ports",
  "routes",
  "names",
  "rules",
];

/** One thing that somebody wrote by hand. */
export interface Configured {
  readonly kind: ConfiguredKind;
  /** As it stands in the file, as `subnet 172.30.0.0/24`. */
  readonly what: string;
  /** Whose it is, as `networks.back` or `Service shop/cart`. */
  readonly where: string;
  readonly why: string;
}

/** How much there is of each kind. */
export type ConfiguredCounts = Readonly<Record<ConfiguredKind, number>>;

export function countConfigured(items: readonly Configured[]): ConfiguredCounts {
  const counts = { addresses: 0, ports: 0, routes: 0, names: 0, rules: 0 };
  for (const { kind } of items) counts[kind]++;
  return counts;
}

const ADDRESS = /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])/;
/** A host, alone or in a URL, with a port or without. */
const HOST =
  /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:[^@/\s]*@)?([a-z0-9][a-z0-9.-]*)(?::(\d{1,5}))?(?:[/?].*)?$/i;
/** Variables that hold whom to ask. */
const VARIABLE =
  /(^|_)(HOST|HOSTNAME|ADDR|ADDRESS|URL|URI|SERVER|SERVERS|ENDPOINT|BROKER|BROKERS|DSN|SERVICE)(_|$)/i;

/** What an environment variable says of whom to ask: an address, or the name of somebody that is known; nothing of most. */
export function configuredByVariable(
  [name, value]: readonly [string, string],
  known: ReadonlySet<string>,
  where: string,
): Configured[] {
  const what = `${name}=${value}`;
  const [address] = ADDRESS.exec(value) ?? [];
  if (address !== undefined && !/^(?:127|0)\./.test(address)) {
    return [{ kind: "addresses", what, where, why: "the program is told an address" }];
  }
  const [, scheme, host, port] = HOST.exec(value) ?? [];
  const [label = ""] = host?.split(".") ?? [];
  if (!known.has(label)) return [];
  if (scheme === undefined && port === undefined && !VARIABLE.test(name)) return [];
  return [{ kind: "names", what, where, why: "the program is told whom to ask" }];
}
