import type { ApiClient, Clock, Random } from "@cnilab/core";
import { familyOf, formatEndpoint, formatIp, IPV4_LOOPBACK, type IpAddress } from "@cnilab/net";
import type { ImportedFile } from "../corefile/corefile.ts";
import { CorefileError } from "../corefile/corefile-error.ts";
import { type DnsMessage, type Rcode, replyTo } from "../message/message.ts";
import { messageLength, truncate } from "../message/message-length.ts";
import { fqdn, nextLabel } from "../message/name.ts";
import type { DnsProtocol, DnsTransport } from "../transport.ts";
import { clientWritten, type DnsRequest, type Handler } from "./request.ts";
import { type BuiltBlock, buildBlocks } from "./server-blocks.ts";

/** Who asked. */
export interface DnsClient {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: DnsProtocol;
}

/** What CoreDNS writes to its log. */
export interface DnsLogLine {
  readonly level: "INFO" | "WARNING" | "ERROR";
  readonly text: string;
}

export interface CoreDnsOptions {
  readonly corefile: string;
  /** For messages about it. */
  readonly corefileName?: string;
  /** What the `kubernetes` plugin watches; without it such a plugin is an error. */
  readonly api?: Pick<ApiClient, "watch">;
  readonly clock: Clock;
  readonly random: Random;
  /** How `forward` reaches its upstreams. */
  readonly transport: DnsTransport;
  /** Files that the Corefile names, by the path as it stands there. */
  readonly readFile?: (path: string) => string | undefined;
  /** The files that an `import` of a path or pattern names; one file by {@link readFile} where it is absent. */
  readonly importFiles?: (pattern: string, from: string) => readonly ImportedFile[];
  /** For `{$NAME}` in the Corefile. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly log?: (line: DnsLogLine) => void;
  /** Told why CoreDNS ends by itself, as `loop` makes it do. */
  readonly fatal?: (text: string) => void;
  /** The order of plugins is fixed when CoreDNS is built, and changed in v1.15. */
  readonly pluginOrder?: "v1.15" | "v1.13";
  /** Seconds since 1970 at time 0 of the clock, for serial numbers; the virtual clock's where it is absent. */
  readonly epochSeconds?: number;
  /** CoreDNS' own addresses: `kubernetes` names the Service that has them as the zone's name server. */
  readonly localAddresses?: () => readonly IpAddress[];
}

/** One address and port that CoreDNS listens on, over UDP and TCP. */
export interface DnsListener {
  /** The `bind` address; every local address where it is absent. */
  readonly address?: IpAddress;
  readonly port: number;
  /** The zones that are served here. */
  readonly zones: readonly string[];
  /** Answers a query; `done` is called at once or later on the clock, or never where CoreDNS says nothing. */
  handle(query: DnsMessage, client: DnsClient, done: (answer: DnsMessage) => void): void;
}

/** What is served where one address takes the place of every `bind`, and what is not. */
export interface ListenersByPort {
  readonly listeners: readonly DnsListener[];
  /** Zones that another block serves on the same port. */
  readonly hidden: readonly HiddenZone[];
}

export interface HiddenZone {
  readonly zone: string;
  readonly port: number;
  /** The `bind` addresses of its block. */
  readonly addresses: readonly IpAddress[];
  /** Where it stands in the Corefile. */
  readonly at: { readonly file: string; readonly line: number };
}

/** What a zone is served by on one listener. */
interface ServedZone {
  readonly zone: string;
  readonly block: BuiltBlock;
}

/** Lookups within lookups, as for the target of an ExternalName. */
const MAX_DEPTH = 10;
/** UDP messages are never made smaller than this, RFC 1035 §4.2.1. */
const MIN_UDP = 512;
const MAX_TCP = 65_535;

/**
 * CoreDNS, as far as answers go: reads a Corefile, watches the cluster where `kubernetes` says so, and answers. Modelled on
 * v1.15.0.
 */
export class CoreDns {
  /** One for each address and port that a block is bound to. */
  readonly listeners: readonly DnsListener[];
  readonly #listeners: readonly BlockListener[];
  readonly #blocks: readonly BuiltBlock[];
  readonly #clock: Clock;

  /** @throws CorefileError for what CoreDNS would not start with */
  constructor(options: CoreDnsOptions) {
    const { corefile, environment, readFile = () => undefined } = options;
    this.#clock = options.clock;
    this.#blocks = buildBlocks(
      {
        text: corefile,
        file: options.corefileName ?? "Corefile",
        ...(environment === undefined ? {} : { environment }),
        importFiles: options.importFiles ?? ((path) => oneFile(path, readFile(path))),
      },
      { options, readFile },
    );
    this.#listeners = listenersOf(this.#blocks);
    this.listeners = this.#listeners;
  }

  /** Begins what CoreDNS does by itself, as the probe of `loop`. */
  start(): void {
    for (const listener of this.#listeners) {
      for (const block of new Set(listener.served.map(({ block }) => block))) {
        const loop = block.handlers.get("loop") as (Handler & Startable) | undefined;
        const client: DnsClient = { address: IPV4_LOOPBACK, port: listener.port, protocol: "udp" };
        const ask: Parameters<Startable["start"]>[0] = (query, done) =>
          listener.handle(query, client, done);
        this.#clock.schedule(0, () => loop?.start?.(ask), { background: true });
      }
    }
  }

  /**
   * One listener for each port, as where `address` takes the place of every `bind`: blocks of one port are told apart by
   * their zones alone. A zone that several serve, each on addresses of its own, goes to the one that is bound to `address`,
   * or else to the first.
   */
  listenersByPort(address?: IpAddress): ListenersByPort {
    const isBound = ({ addresses }: HiddenZone): boolean =>
      address !== undefined && addresses.includes(address);
    const ports = new Map<number, Map<string, (HiddenZone & ServedZone)[]>>();
    for (const block of this.#blocks) {
      const { addresses } = block;
      for (const { zone, port, token: at } of block.zones) {
        const zones = ports.get(port) ?? new Map<string, (HiddenZone & ServedZone)[]>();
        ports.set(port, zones);
        zones.set(zone, [...(zones.get(zone) ?? []), { zone, port, addresses, at, block }]);
      }
    }
    const hidden: HiddenZone[] = [];
    const listeners = [...ports].map(([port, zones]) => {
      const served = [...zones.values()].map((same) => {
        const first = same.find(isBound) ?? (same[0] as ServedZone);
        hidden.push(...same.filter((other) => other !== first));
        return first;
      });
      return new BlockListener({ port, served });
    });
    return { listeners, hidden };
  }

  /** Ends the watches and closes the sockets to upstreams. */
  close(): void {
    for (const { handlers } of this.#blocks) {
      for (const handler of handlers.values()) (handler as Partial<Closable>).close?.();
    }
  }
}

interface Startable {
  start(ask: (query: DnsMessage, done: () => void) => void): void;
}

interface Closable {
  close(): void;
}

function oneFile(path: string, text: string | undefined): ImportedFile[] {
  return text === undefined ? [] : [{ file: path, text }];
}

/** Blocks by the addresses and ports they listen on. @throws CorefileError where two serve the same zone there */
function listenersOf(blocks: readonly BuiltBlock[]): BlockListener[] {
  const groups = new Map<string, { address?: IpAddress; port: number; served: ServedZone[] }>();
  for (const block of blocks) {
    const addresses = block.addresses.length === 0 ? [undefined] : block.addresses;
    for (const { zone, port, token } of block.zones) {
      for (const address of addresses) {
        const where = address === undefined ? `:${port}` : formatEndpoint(address, port);
        const group = groups.get(where) ?? {
          ...(address === undefined ? {} : { address }),
          port,
          served: [],
        };
        groups.set(where, group);
        if (group.served.some((other) => other.zone === zone)) {
          throw new CorefileError(
            `cannot serve dns://${zone}:${port} on ${where} - it is already defined`,
            token,
          );
        }
        group.served.push({ zone, block });
      }
    }
  }
  for (const { address, port, served } of groups.values()) {
    const everywhere = groups.get(`:${port}`);
    if (address === undefined || everywhere === undefined) continue;
    const overlap = served.find(({ zone }) =>
      everywhere.served.some((other) => other.zone === zone),
    );
    if (overlap !== undefined) {
      throw new CorefileError(
        `cannot serve dns://${overlap.zone}:${port} on ${formatIp(address)} - another block serves it on all addresses`,
        overlap.block.at,
      );
    }
  }
  return [...groups.values()].map((group) => new BlockListener(group));
}

class BlockListener implements DnsListener {
  readonly address?: IpAddress;
  readonly port: number;
  readonly served: readonly ServedZone[];
  readonly #zones: ReadonlyMap<string, BuiltBlock>;
  /** Only a server that forwards lets classes other than IN in (`dnsserver.EnableChaos`). */
  readonly #otherClasses: boolean;

  constructor({
    address,
    port,
    served,
  }: {
    address?: IpAddress;
    port: number;
    served: readonly ServedZone[];
  }) {
    if (address !== undefined) this.address = address;
    this.port = port;
    this.served = served;
    this.#zones = new Map(served.map(({ zone, block }) => [zone, block]));
    this.#otherClasses = served.some(({ block }) => block.handlers.has("forward"));
  }

  get zones(): readonly string[] {
    return [...this.#zones.keys()];
  }

  handle(query: DnsMessage, client: DnsClient, done: (answer: DnsMessage) => void): void {
    this.#serve(query, client, 0, done);
  }

  #serve(
    query: DnsMessage,
    client: DnsClient,
    depth: number,
    done: (answer: DnsMessage) => void,
  ): void {
    const question = query.question[0];
    const fail = (rcode: Rcode): void => done(withEdns(replyTo(query, rcode), query));
    if (question === undefined) {
      fail("SERVFAIL");
      return;
    }
    if ((question.class ?? "IN") !== "IN" && !this.#otherClasses) {
      fail("REFUSED");
      return;
    }
    if ((query.edns?.version ?? 0) !== 0) {
      done({ ...replyTo(query, "BADVERS"), edns: { udpSize: 0 } });
      return;
    }
    const name = question.name.toLowerCase();
    const block = this.#blockFor(name, question.type);
    if (block?.chain === undefined) {
      fail("REFUSED");
      return;
    }
    const request: DnsRequest = {
      message: query,
      question,
      name,
      client,
      lookup: (target, type, found) => {
        if (depth >= MAX_DEPTH) return found(undefined);
        const asked = { ...query, question: [{ name: fqdn(target), type }] };
        this.#serve(asked, client, depth + 1, found);
      },
    };
    block.chain.serve(request, ({ message, rcode }) => {
      if (message !== undefined) done(fitted(withEdns(message, query), query, client));
      else if (!clientWritten(rcode)) fail(rcode);
    });
  }

  /** That of the longest zone that the name is in; DS records are the parent's. */
  #blockFor(name: string, type: string): BuiltBlock | undefined {
    let own: BuiltBlock | undefined;
    for (let at = 0; at < name.length; at = nextLabel(name, at)) {
      const block = this.#zones.get(name.slice(at));
      if (block === undefined) continue;
      if (type !== "DS" || block.chain === undefined) return block;
      own = block;
    }
    return own ?? this.#zones.get(".");
  }
}

/** EDNS only where it was asked with, and with the size that the client gave. */
function withEdns(message: DnsMessage, query: DnsMessage): DnsMessage {
  const { edns: _, ...plain } = message;
  return query.edns === undefined ? plain : { ...plain, edns: query.edns };
}

/** From these bytes on CoreDNS shortens names (`request.Scrub`), IPv4 and IPv6. */
const COMPRESS_FROM = { 4: 1480, 6: 1220 } as const;

function fitted(
  message: DnsMessage,
  query: DnsMessage,
  { protocol, address }: DnsClient,
): DnsMessage {
  const size = protocol === "tcp" ? MAX_TCP : Math.max(query.edns?.udpSize ?? 0, MIN_UDP);
  const fitting = truncate(message, size);
  if (fitting.compressed === true || protocol === "tcp") return fitting;
  return messageLength(fitting) > COMPRESS_FROM[familyOf(address)]
    ? { ...fitting, compressed: true }
    : fitting;
}
