import {
  type DnsMessage,
  domainNameProblem,
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
import { formatEndpoint, formatIp, type IpAddress } from "@cnilab/net";
import { DropCollector } from "./drop-collector.ts";
import { type LostQuestion, lostQuestions, tellingLoss } from "./lost-question.ts";
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
/** A resolver waits for a server at least so long. */
const SHORTEST_WAIT_MS = 1000;
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
  const { answer, ...asked }: QueryResult = found ?? { steps: [] };
  const lookup: NameLookup = { addresses: [], ...asked, drops };
  const isThere = answer?.rcode === "NOERROR" && answer.answer.length > 0;
  return {
    ...lookup,
    resolvConf: asker.resolvConf,
    ...(answer === undefined ? {} : { answer }),
    problem: isThere ? undefined : whyUnresolved(name, lookup, asker, `${type} record`),
  };
}

/** Starts something, turns the clock until it is done, and gives the packets that ended on the way. */
function collecting({ network }: NetNamespace, done: () => boolean, start: () => void): Drop[] {
  // What was flooded to others is nobody's loss.
  const collector = new DropCollector(network, ({ reason }) => reason !== "OTHERHOST");
  start();
  collector.turnClock(done, network.clock.now + LONGEST_LOOKUP_MS);
  return collector.drops;
}

/** In one line, why a name has no address: who said so of which names, or where the questions ended. */
export function whyUnresolved(
  name: string,
  lookup: NameLookup,
  asker: Pick<NameAsker, "netns" | "nameOf">,
  wanted = "address",
): string {
  const { steps, unasked } = lookup;
  if (unasked === "no name") {
    return `${name}: can be no domain name (${domainNameProblem(name)}), so nobody is asked`;
  }
  if (unasked === "no server") return `${name}: /etc/resolv.conf names no server to ask`;
  if (steps.length === 0) return `${name}: nobody was asked`;
  // A server that failed is no cause where another one has answered the same question.
  const open = unanswered(steps);
  const mute = open.filter(({ outcome }) => outcome === "timeout");
  if (mute.length > 0) return `${name}: ${silence(mute, lookup, asker)}`;
  const [failed] = open;
  if (failed !== undefined) return `${name}: ${failure(failed, lookup, asker)}`;
  const names = (outcome: ResolverStep["outcome"]) => [
    ...new Set(steps.filter((s) => s.outcome === outcome).map((s) => withoutDot(s.name))),
  ];
  const aside = deadServers(steps, asker);
  const there = names("NOERROR");
  if (there.length > 0) return `${name}: ${listed(there)} is there and has no ${wanted}${aside}`;
  return `${name}: NXDOMAIN (no such name) for ${listed(names("NXDOMAIN"))}${aside}`;
}

/** Steps of questions that no server had an answer to. */
function unanswered(steps: readonly ResolverStep[]): ResolverStep[] {
  const question = ({ name, type }: ResolverStep) => `${type} ${name}`;
  const answered = new Set(steps.filter(isAnswered).map(question));
  return steps.filter((step) => !answered.has(question(step)));
}

function isAnswered({ outcome }: ResolverStep): boolean {
  return outcome === "NXDOMAIN" || outcome === "NOERROR";
}

/** Servers of which nothing came, while another one answered. */
function deadServers(
  steps: readonly ResolverStep[],
  { nameOf }: Pick<NameAsker, "nameOf">,
): string {
  const heard = new Set(steps.filter((step) => step.answer !== undefined).map((s) => s.server));
  // musl asks all at once: whom it did not wait for may be well.
  const waitedFor = ({ outcome, sentAt, endedAt }: ResolverStep) =>
    outcome !== "timeout" || endedAt - sentAt >= SHORTEST_WAIT_MS;
  const dead = steps.filter((step) => !heard.has(step.server) && waitedFor(step));
  if (dead.length === 0) return "";
  const servers = [...new Set(dead.map((step) => serverOf(step, nameOf)))];
  return `; ${servers.join(", ")} ${servers.length === 1 ? "does" : "do"} not answer`;
}

function silence(
  mute: readonly ResolverStep[],
  lookup: NameLookup,
  asker: Pick<NameAsker, "netns" | "nameOf">,
): string {
  const servers = [...new Set(mute.map((step) => serverOf(step, asker.nameOf)))].join(", ");
  return `timed out, no answer from ${servers}${lossOf(lookup, asker)}`;
}

function failure(
  step: ResolverStep,
  lookup: NameLookup,
  asker: Pick<NameAsker, "netns" | "nameOf">,
): string {
  const { outcome } = step;
  const server = serverOf(step, asker.nameOf);
  switch (outcome) {
    case "refused":
      return `${server} refuses questions${lossOf(lookup, asker)}`;
    case "unreachable":
      return `${server} cannot be reached${lossOf(lookup, asker)}`;
    default:
      return `${outcome} from ${server} for ${withoutDot(step.name)}${lossBehind(step, lookup, asker)}`;
  }
}

/** Where a question ended that had no answer. */
function lossOf(
  { drops, steps }: NameLookup,
  { netns, nameOf }: Pick<NameAsker, "netns" | "nameOf">,
): string {
  const loss = tellingLoss(lostQuestions(drops, netns, steps));
  if (loss !== undefined) return `; ${lossText(loss, nameOf)}`;
  const drop = policyDrop(drops) ?? drops.at(-1);
  return drop === undefined ? "" : `; the question was ${describeDrop(drop)}`;
}

/** Where a question ended that the server asked another one, so that it had nothing to say itself. */
function lossBehind(
  step: ResolverStep,
  { drops, steps }: NameLookup,
  { netns, nameOf }: Pick<NameAsker, "netns" | "nameOf">,
): string {
  const lost = lostQuestions(drops, netns, steps).filter(({ own }) => !own);
  // A server may ask for another name than it was asked for (plugin `rewrite`).
  const ofName = lost.filter(({ name }) => name?.toLowerCase() === step.name.toLowerCase());
  const loss = tellingLoss(ofName) ?? tellingLoss(lost);
  return loss === undefined ? "" : `; ${lossText(loss, nameOf)}`;
}

function lossText(
  { drop, own, isAnswer, asker, server, where }: LostQuestion,
  nameOf: NameAsker["nameOf"],
): string {
  const ended = describeDrop(drop);
  if (own) return `the ${isAnswer ? "answer" : "question"} was ${ended}`;
  const who = nameOf(asker) ?? formatIp(asker);
  const whom = nameOf(server);
  const asked = `${where}${whom === undefined ? "" : ` (${whom})`}`;
  const what = isAnswer
    ? `the answer to ${who} from ${asked}`
    : `the question of ${who} to ${asked}`;
  return `${what} was ${ended}`;
}

function withoutDot(name: string): string {
  return name === "." ? name : name.replace(/\.$/, "");
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
