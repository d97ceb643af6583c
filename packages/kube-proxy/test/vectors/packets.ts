import type { KubeObject, Service } from "@cnilab/core";
import { type Exchange, exchange } from "@cnilab/linux";
import { formatIp, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { type KubeProxyConfig, type KubeProxyMode, StandAloneKubeProxy } from "../../src/index.ts";
import { RecordingNetwork } from "./recording-network.ts";

/** A file `packets.json`: what became of connections, by proxy mode. */
export interface RecordedPackets {
  readonly bridgeNfCallIptables: number;
  readonly modes: { readonly [Mode in KubeProxyMode]?: readonly Flow[] };
}

/** Connections from one place to one port, one after the other. */
export interface Connections {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  /** `ip:port`, `[ip]:port`. */
  readonly dest: string;
  /** One of {@link RecordingNetwork.clients}. */
  readonly from: string;
  readonly tried: number;
}

/** Connections that were recorded. */
interface Flow extends Connections {
  /** `namespace/name:port name`. */
  readonly service: string;
  readonly outcomes: readonly Outcome[];
}

interface Outcome {
  /** `ok`, `refused`, `timeout`, or the text of an errno. */
  readonly result: string;
  readonly backend?: string;
  readonly backendPort?: number;
  /** The client's address as the server sees it. */
  readonly sourceSeen?: string;
  /** Where the answer came from, if that is not where the question went to. */
  readonly replyFrom?: string;
}

const IP_PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, SCTP: IPPROTO_SCTP } as const;
/**
 * How long the recorder's clients waited. Not written down, but to be read off: of connections to an
 * address that nobody has, one in five ends with ARP's failure (3 s), the others before.
 */
const CLIENT_PATIENCE_MS = 700;

/**
 * Makes all connections of a recording in the configuration's mode; differences as lines, none where
 * everything agrees.
 */
export function replayPackets(
  packets: RecordedPackets,
  objects: readonly KubeObject[],
  config: KubeProxyConfig,
): string[] {
  const start = (seed: number) => {
    const network = new RecordingNetwork(objects, packets.bridgeNfCallIptables, seed);
    new StandAloneKubeProxy(network.node1, "node1", config).apply(objects);
    return network;
  };
  const network = start(1);
  const problems: string[] = [];
  for (const flow of packets.modes[config.mode] ?? []) {
    const expected = spell(flow.outcomes);
    let actual = connect(flow, network);
    // A client with session affinity stays where chance sent it first: chance must be able to send it
    // where it sent the recorded one.
    for (let seed = 2; hasAffinity(flow, objects) && actual !== expected && seed < 50; seed++) {
      actual = connect(flow, start(seed));
    }
    if (actual !== expected && !refusedTooEarly(flow, actual)) {
      problems.push(
        `${flow.from} to ${flow.dest} (${flow.protocol}): ${actual}; recorded: ${expected}`,
      );
    }
  }
  return problems;
}

/** Makes the connections, and tells each outcome that there was: which backend, and what source it saw. */
export function connect(flow: Connections, network: RecordingNetwork): string {
  const client = network.clients.get(flow.from);
  if (client === undefined) return "no such client";
  const [, ip = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(flow.dest) ?? [];
  const request = {
    protocol: IP_PROTOCOLS[flow.protocol],
    dst: parseIp(ip),
    port: Number(port),
    waitMs: CLIENT_PATIENCE_MS,
  };
  const outcomes: Outcome[] = [];
  for (let i = 0; i < flow.tried; i++) outcomes.push(outcomeOf(exchange(client, request)));
  return spell(outcomes);
}

function outcomeOf({ outcome, error, report }: Exchange): Outcome {
  if (outcome === "connected" && report !== undefined) {
    return {
      result: "ok",
      backend: report.owner,
      backendPort: report.port,
      sourceSeen: formatIp(report.seenAddress),
    };
  }
  if (error?.errno === "EHOSTUNREACH") return { result: "No route to host" };
  if (error?.errno === "EPERM") return { result: "Operation not permitted" };
  return { result: outcome };
}

/** The outcomes that there were, each once: how many of each is chance. */
function spell(outcomes: readonly Outcome[]): string {
  const texts = outcomes.map(({ result, backend, backendPort, sourceSeen, replyFrom }) =>
    [result, backend, backendPort, sourceSeen && `sees ${sourceSeen}`, replyFrom]
      .filter((part) => part !== undefined)
      .join(" "),
  );
  return [...new Set(texts)].sort().join(", ");
}

/**
 * Whether only the recorder's client did not learn of refusals. An ICMP error that comes while
 * connect() still holds the socket is noted until the SYN is sent again after a second (sk_err_soft,
 * net/ipv6/tcp_ipv6.c tcp_v6_err), and it did not wait that long. Over IPv6 it was always so, over
 * IPv4 once in 24 connections.
 */
function refusedTooEarly({ protocol, dest, outcomes }: Flow, actual: string): boolean {
  const results = new Set(outcomes.map((o) => o.result));
  const sometimesLearned = results.delete("refused");
  const onlySilence = [...results].join() === "timeout";
  return (
    protocol === "TCP" &&
    actual === "refused" &&
    onlySilence &&
    (sometimesLearned || dest.startsWith("["))
  );
}

function hasAffinity({ service }: Flow, objects: readonly KubeObject[]): boolean {
  const [key] = service.split(":");
  return objects.some(
    (o) =>
      o.kind === "Service" &&
      `${o.metadata.namespace}/${o.metadata.name}` === key &&
      (o as Service).spec.sessionAffinity === "ClientIP",
  );
}
