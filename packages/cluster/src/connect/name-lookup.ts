import {
  type DnsMessage,
  HostsTable,
  type LookupResult,
  parseResolvConf,
  type QueryResult,
  Resolver,
  type ResolverFlavour,
  type ResolverStep,
  SocketTransport,
} from "@cnilab/dns";
import type { Drop, NetNamespace, Trace } from "@cnilab/linux";
import { formatEndpoint, type IpAddress } from "@cnilab/net";
import { describeDrop, policyDrop } from "./verdict.ts";

/** A program that resolves names: where it runs, and which files it reads. */
export interface NameAsker {
  readonly netns: NetNamespace;
  /** As `shop/cart-0`. */
  readonly owner: string;
  /** Contents of `/etc/resolv.conf` and `/etc/hosts`. */
  readonly resolvConf: string;
  readonly hosts: string;
  readonly flavour: ResolverFlavour;
  /** Who a name server is, for people, as `Service kube-system/kube-dns`. */
  readonly nameOf: (server: IpAddress) => string | undefined;
}

/** What asking for a name came to. */
export interface NameLookup extends LookupResult {
  /** Packets that ended on the way meanwhile. */
  readonly drops: readonly Drop[];
}

/** What a person is told who asks for a name in a program's place. */
export interface NameAnswer extends NameLookup {
  /** The program's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** What ended the walk, where one type of record was asked for. */
  readonly answer?: DnsMessage;
  /** Why there is nothing, in one line; `undefined` where there is. */
  readonly problem: string | undefined;
}

/** Virtual milliseconds: every server silent for every name of the longest search list takes less. */
const LONGEST_LOOKUP_MS = 3_600_000;
/** Names that one line tells. */
const MOST_NAMES = 4;

/** A resolver of the asker's own, fresh, which asks by packets. */
export function resolverOf(asker: NameAsker, trace?: Trace): Resolver {
  const { netns, owner, resolvConf, hosts, flavour } = asker;
  return new Resolver({
    resolvConf: parseResolvConf(resolvConf),
    hosts: new HostsTable(hosts),
    flavour,
    transport: new SocketTransport(netns, owner, trace),
    clock: netns.network.clock,
    random: netns.kernel.random,
  });
}

/** Resolves a name as getaddrinfo does for a program of the asker, and turns the clock until that is done. */
export function lookUp(asker: NameAsker, name: string, trace?: Trace): NameLookup {
  let found: LookupResult | undefined;
  const drops = collecting(
    asker.netns,
    () => found !== undefined,
    () => {
      resolverOf(asker, trace).lookup(name, "AF_UNSPEC", (result) => {
        found = result;
      });
    },
  );
  return { ...(found ?? { addresses: [], error: "EAI_AGAIN", steps: [] }), drops };
}

/** As {@link lookUp}, for records of one type: as `dig +search` asks, and `host`. */
export function query(asker: NameAsker, name: string, type: string, trace?: Trace): NameAnswer {
  let found: QueryResult | undefined;
  const isDone = () => found !== undefined;
  const drops = collecting(asker.netns, isDone, () => {
    resolverOf(asker, trace).query(name, type, (result) => {
      found = result;
    });
  });
  const { answer, steps }: QueryResult = found ?? { steps: [] };
  const lookup: NameLookup = { addresses: [], steps, drops };
  const isThere = answer?.rcode === "NOERROR" && answer.answer.length > 0;
  return {
    ...lookup,
    resolvConf: asker.resolvConf,
    ...(answer === undefined ? {} : { answer }),
    problem: isThere ? undefined : whyUnresolved(name, lookup, asker, `${type} record`),
  };
}

/** Starts something, turns the clock until it is done, and gives the packets that ended on the way. */
export function collecting(netns: NetNamespace, done: () => boolean, start: () => void): Drop[] {
  const { network } = netns;
  const drops: Drop[] = [];
  const collect = () => {
    // What was flooded to others is nobody's loss.
    drops.push(...network.takeDrops().filter(({ reason }) => reason !== "OTHERHOST"));
  };
  network.takeDrops();
  start();
  collect();
  const deadline = network.clock.now + LONGEST_LOOKUP_MS;
  while (!done() && network.clock.step(deadline)) collect();
  return drops;
}

/** In one line, why a name has no address: who said so of which names, or where the questions ended. */
export function whyUnresolved(
  name: string,
  { steps, drops }: NameLookup,
  { nameOf }: Pick<NameAsker, "nameOf">,
  wanted = "address",
): string {
  const [first] = steps;
  if (first === undefined) return `${name}: /etc/resolv.conf names no server to ask`;
  const mute = steps.filter(({ outcome }) => outcome === "timeout");
  if (mute.length > 0) return `${name}: ${silence(mute, drops, nameOf)}`;
  const failed = steps.find(({ outcome }) => outcome !== "NXDOMAIN" && outcome !== "NOERROR");
  if (failed !== undefined) return `${name}: ${failure(failed, drops, nameOf)}`;
  const names = (outcome: ResolverStep["outcome"]) => [
    ...new Set(steps.filter((s) => s.outcome === outcome).map((s) => s.name.replace(/\.$/, ""))),
  ];
  const there = names("NOERROR");
  if (there.length > 0) return `${name}: ${listed(there)} is there and has no ${wanted}`;
  return `${name}: NXDOMAIN (no such name) for ${listed(names("NXDOMAIN"))}`;
}

function silence(
  mute: readonly ResolverStep[],
  drops: readonly Drop[],
  nameOf: NameAsker["nameOf"],
): string {
  const servers = [...new Set(mute.map((step) => serverOf(step, nameOf)))].join(", ");
  const drop = policyDrop(drops) ?? drops.at(-1);
  const where = drop === undefined ? "" : `; the question was ${describeDrop(drop)}`;
  return `timed out, no answer from ${servers}${where}`;
}

function failure(step: ResolverStep, drops: readonly Drop[], nameOf: NameAsker["nameOf"]): string {
  const { outcome } = step;
  const server = serverOf(step, nameOf);
  if (outcome !== "refused" && outcome !== "unreachable") {
    return `${outcome} from ${server} for ${step.name.replace(/\.$/, "")}`;
  }
  const drop = policyDrop(drops) ?? drops.at(-1);
  const where = drop === undefined ? "" : `; the question was ${describeDrop(drop)}`;
  return `${server} ${outcome === "refused" ? "refuses questions" : "cannot be reached"}${where}`;
}

function serverOf({ server, protocol }: ResolverStep, nameOf: NameAsker["nameOf"]): string {
  const where = `${formatEndpoint(server, 53)}/${protocol.toUpperCase()}`;
  const who = nameOf(server);
  return who === undefined ? where : `${where} (${who})`;
}

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
