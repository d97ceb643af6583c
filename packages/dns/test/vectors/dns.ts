import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { formatIp, IPV4_LOOPBACK, parseIp } from "@cnilab/net";
import { loadAll } from "js-yaml";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import {
  type AddressFamilyHint,
  CoreDns,
  type DnsMessage,
  type DnsTransport,
  LocalTransport,
  type LookupResult,
  listenerAt,
  messageLength,
  parseResolvConf,
  queryOf,
  Resolver,
  type ResourceRecord,
} from "../../src/index.ts";
import { ObjectsApi } from "../objects.ts";

interface Vector {
  readonly id: string;
  readonly profile: string;
  readonly q: { readonly name: string; readonly type: string };
  readonly transport: "udp" | "tcp";
  readonly edns?: number;
  readonly src?: string;
  readonly rcode: string;
  readonly flags: readonly string[];
  readonly answer: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  readonly rawOrder?: readonly string[];
  readonly truncated?: { readonly answers: number };
}

interface SearchCase {
  readonly podNamespace: string;
  readonly ndots: number;
  readonly name: string;
  readonly family: AddressFamilyHint;
  readonly steps: readonly {
    readonly name: string;
    readonly types: Readonly<Record<string, string>>;
  }[];
  readonly addresses: readonly string[];
  readonly error?: string;
}

/** The port that each profile of the Corefile listens on, as the vectors' README has it. */
const PORTS: Readonly<Record<string, number>> = {
  kubeadm: 53,
  verified: 5302,
  plain: 5303,
  podnames: 5304,
  autopath: 5305,
  noendpoints: 5306,
  zonal: 5307,
  cached: 5308,
};
const SERVER = "10.96.0.10";
/** Who asks where a vector does not say. */
const CLIENT = "10.244.9.1";

/** Exchanges with a real CoreDNS, and what a real resolver asks it. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  const queries = join(folder, "queries.ndjson");
  if (existsSync(queries)) {
    const lines = readFileSync(queries, "utf8")
      .split("\n")
      .filter((line) => line !== "");
    for (const line of lines) yield runQuery(folder, JSON.parse(line) as Vector);
  }
  const searches = join(folder, "search-path.json");
  if (existsSync(searches)) {
    const { cases } = JSON.parse(readFileSync(searches, "utf8")) as { cases: SearchCase[] };
    for (const each of cases) yield runSearch(folder, each);
  }
}

/** A server of the folder's Corefile and objects: a new one for each case, so that nothing is cached. */
export function serverOf(folder: string): {
  readonly dns: CoreDns;
  readonly clock: VirtualClock;
  readonly transport: DnsTransport;
} {
  const clock = new VirtualClock();
  let dns: CoreDns | undefined;
  const transport = new LocalTransport({
    clock,
    find: (server) => listenerAt(dns?.listeners ?? [], server),
    address: IPV4_LOOPBACK,
  });
  dns = new CoreDns({
    corefile: readFileSync(join(folder, "Corefile"), "utf8"),
    api: new ObjectsApi(objectsOf(folder)),
    clock,
    random: new SeededRandom(1),
    transport,
    readFile: (path) =>
      existsSync(join(folder, path)) ? readFileSync(join(folder, path), "utf8") : undefined,
  });
  return { dns, clock, transport };
}

const objects = new Map<string, readonly KubeObject[]>();

function objectsOf(folder: string): readonly KubeObject[] {
  const there = objects.get(folder);
  if (there !== undefined) return there;
  const read = loadAll(readFileSync(join(folder, "cluster.yaml"), "utf8")) as KubeObject[];
  objects.set(folder, read);
  return read;
}

function runQuery(folder: string, vector: Vector): VectorCase {
  const { profile, q } = vector;
  const name = `${vector.id} ${profile} ${q.name} ${q.type}`;
  const port = PORTS[profile];
  if (port === undefined) return { name, outcome: "failed", detail: `no such profile: ${profile}` };
  const { dns, clock } = serverOf(folder);
  const listener = listenerAt(dns.listeners, { address: parseIp(SERVER), port, protocol: "udp" });
  const edns = vector.edns === undefined ? undefined : { udpSize: vector.edns };
  let answer: DnsMessage | undefined;
  listener?.handle(
    queryOf(4711, q.name, q.type, edns),
    { address: parseIp(vector.src ?? CLIENT), port: 40_000, protocol: vector.transport },
    (message) => {
      answer = message;
    },
  );
  clock.settle();
  if (answer === undefined) return { name, outcome: "failed", detail: "no answer" };
  const problems = compare(vector, answer);
  return problems.length === 0
    ? { name, outcome: "passed" }
    : { name, outcome: "failed", detail: problems.join("\n") };
}

function runSearch(folder: string, each: SearchCase): VectorCase {
  const { podNamespace, ndots, name: wanted, family } = each;
  const name = `${podNamespace} ndots:${ndots} ${wanted} ${family}`;
  const { clock, transport } = serverOf(folder);
  const domain = "svc.cluster.local";
  const resolver = new Resolver({
    resolvConf: parseResolvConf(
      `search ${podNamespace}.${domain} ${domain} cluster.local\nnameserver ${SERVER}\noptions ndots:${ndots}\n`,
    ),
    transport,
    clock,
    random: new SeededRandom(1),
  });
  let result: LookupResult | undefined;
  resolver.lookup(wanted, family, (found) => {
    result = found;
  });
  clock.settle();
  if (result === undefined) return { name, outcome: "failed", detail: "no result" };
  // The questions of one step are sent together.
  const steps = new Map<string, Record<string, string>>();
  for (const step of result.steps) {
    steps.set(step.name, { ...steps.get(step.name), [step.type]: step.outcome });
  }
  const is = {
    steps: [...steps].map(([stepName, types]) => ({ name: stepName, types })),
    addresses: result.addresses.map(formatIp).sort(),
    error: result.error,
  };
  const expected = { steps: each.steps, addresses: [...each.addresses].sort(), error: each.error };
  return isDeepStrictEqual(JSON.parse(JSON.stringify(is)), JSON.parse(JSON.stringify(expected)))
    ? { name, outcome: "passed" }
    : {
        name,
        outcome: "failed",
        detail: `${JSON.stringify(is)}\nexpected ${JSON.stringify(expected)}`,
      };
}

/** Where the answer differs from the vector, a line each. Answers of a section are compared as sets. */
export function compare(vector: Vector, answer: DnsMessage): string[] {
  const problems: string[] = [];
  const differ = (what: string, is: string, expected: string): void => {
    if (is !== expected) problems.push(`${what}: ${is || "none"}, expected ${expected || "none"}`);
  };
  const flags = Object.entries(answer.flags).filter(([, set]) => set);
  differ("rcode", answer.rcode, vector.rcode);
  differ(
    "flags",
    flags
      .map(([flag]) => flag)
      .sort()
      .join(" "),
    [...vector.flags].sort().join(" "),
  );
  differ("question", answer.question.map(({ name }) => name).join(), vector.q.name);
  if (vector.truncated !== undefined) {
    differ("answers", String(answer.answer.length), String(vector.truncated.answers));
    if (messageLength(answer) > 512) problems.push(`${messageLength(answer)} bytes are too many`);
    return problems;
  }
  for (const section of ["answer", "authority", "additional"] as const) {
    differ(section, textOf(answer[section]), textOf(vector[section]));
  }
  if (vector.rawOrder !== undefined) {
    // Several records of one owner and type are one line there.
    const order = new Set(answer.answer.map(({ name, type }) => `${name} ${type}`));
    differ("order", [...order].join(", "), vector.rawOrder.join(", "));
  }
  return problems;
}

function textOf(records: readonly ResourceRecord[]): string {
  return records.map(lineOf).sort().join("; ");
}

/** The serial of the cluster's zones is a moment in time. */
function lineOf({ name, ttl, type, data }: ResourceRecord): string {
  const stable = data.replace(/^(ns\.dns\.\S* \S+) \d+ /, "$1 SERIAL ");
  return `${name} ${ttl} ${type} ${stable}`;
}
