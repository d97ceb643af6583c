import type { Random } from "@cnilab/core";
import {
  addressOfReverseName,
  type DnsMessage,
  type DnsProtocol,
  DnsServer,
  replyTo,
  SocketTransport,
  truncate,
} from "@cnilab/dns";
import type { NetNamespace } from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpFamily,
  parseIp,
} from "@cnilab/net";
import type { ExternalServer } from "./resolv-conf-file.ts";
import { programResolverNat } from "./resolver-nat.ts";

/** Where a container on a user-defined network asks for names. */
export const EMBEDDED_DNS: IpAddress = parseIp("127.0.0.11");

const OWNER = "dockerd";
/** Seconds, of all own answers. */
const TTL = 600;
const MAX_EXTERNAL = 3;
/** Milliseconds that an external server has. */
const EXTERNAL_TIMEOUT_MS = 4000;
const DNS_PORT = 53;
/** A UDP message without EDNS, RFC 1035 §4.2.1. */
const MIN_UDP = 512;
const MAX_TCP = 65_535;

/** What the resolver of one container knows (libnetwork `DNSBackend`). */
export interface KnownNames {
  /** `undefined` where no network of the container has the name. */
  addressesOf(name: string, family: IpFamily): readonly IpAddress[] | undefined;
  /** With its network's name. */
  nameOf(address: IpAddress): string | undefined;
  /** Whether a network of the container leads out. */
  readonly hasExternalAccess: boolean;
}

export interface EmbeddedResolverOptions {
  /** Of the container, where it listens. */
  readonly netns: NetNamespace;
  /** From where the host's own servers are asked. */
  readonly host: NetNamespace;
  readonly backend: "iptables" | "nftables";
  readonly names: KnownNames;
  readonly servers: readonly ExternalServer[];
  /** Somebody has set `ndots`: names without a dot are then for the search list, not for servers outside. */
  readonly ndotsSet: boolean;
  readonly random: Random;
}

/** The DNS server that dockerd runs in a container's namespace (libnetwork resolver.go). */
export class EmbeddedResolver {
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly #options: EmbeddedResolverOptions;
  readonly #servers: readonly ExternalServer[];
  readonly #server: DnsServer;

  constructor(options: EmbeddedResolverOptions) {
    const { netns, backend, servers } = options;
    this.#options = options;
    this.#servers = servers
      .filter(({ address, fromHost }) => fromHost || address !== EMBEDDED_DNS)
      .slice(0, MAX_EXTERNAL);
    this.udpPort = netns.sockets.ephemeralPort(IPPROTO_UDP);
    this.tcpPort = netns.sockets.ephemeralPort(IPPROTO_TCP);
    this.#server = new DnsServer(netns, {
      address: EMBEDDED_DNS,
      port: this.udpPort,
      tcpPort: this.tcpPort,
      owner: OWNER,
      handle: (query, { protocol }, done) => this.#handle(query, protocol, done),
    });
    const { udpPort, tcpPort } = this;
    programResolverNat(netns, backend, { address: EMBEDDED_DNS, udpPort, tcpPort });
  }

  /** Rules stay: they go with the namespace. */
  close(): void {
    this.#server.close();
  }

  #handle(query: DnsMessage, protocol: DnsProtocol, done: (answer: DnsMessage) => void): void {
    const [question] = query.question;
    if (question === undefined) return;
    const own = this.#answer(query);
    if (own !== undefined) {
      const size = protocol === "tcp" ? MAX_TCP : Math.max(query.edns?.udpSize ?? 0, MIN_UDP);
      done(truncate(own, size));
      return;
    }
    const { name, type } = question;
    const isHostQuery = type === "A" || type === "AAAA";
    if (isHostQuery && this.#options.ndotsSet && !name.slice(0, -1).includes(".")) {
      done(answerTo(query));
      return;
    }
    this.#forward(query, protocol, 0, done);
  }

  /** `undefined` for what is not Docker's. */
  #answer(query: DnsMessage): DnsMessage | undefined {
    const { name, type } = query.question[0] as DnsMessage["question"][number];
    const { names } = this.#options;
    switch (type) {
      case "A":
      case "AAAA": {
        const found = names.addressesOf(name, type === "A" ? 4 : 6);
        if (found === undefined) return undefined;
        const answer = this.#shuffled(found).map((address) => ({
          name,
          ttl: TTL,
          type,
          data: formatIp(address),
        }));
        return { ...answerTo(query), answer };
      }
      // Without a mail server, who asks for one takes the host itself (RFC 5321 section 5.1).
      case "MX": {
        const has = ([4, 6] as const).some((f) => (names.addressesOf(name, f)?.length ?? 0) > 0);
        return has ? answerTo(query) : undefined;
      }
      case "PTR": {
        const address = addressOfReverseName(name);
        const host = address === undefined ? undefined : names.nameOf(address);
        if (host === undefined) return undefined;
        const data = host.endsWith(".") ? host : `${host}.`;
        return { ...answerTo(query), answer: [{ name, ttl: TTL, type, data }] };
      }
      default:
        return undefined;
    }
  }

  #shuffled<T>(values: readonly T[]): T[] {
    const shuffled = [...values];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.#options.random.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
    }
    return shuffled;
  }

  /** Asks one external server after the other, until one has an answer that is not a failure. */
  #forward(
    query: DnsMessage,
    protocol: DnsProtocol,
    from: number,
    done: (answer: DnsMessage) => void,
  ): void {
    const server = this.#servers[from];
    if (server === undefined) {
      done(replyTo(query, "SERVFAIL"));
      return;
    }
    const next = () => this.#forward(query, protocol, from + 1, done);
    const { netns, host, names } = this.#options;
    // An internal network does not get out by way of the host; from within it, the server may be near.
    if (server.fromHost && !names.hasExternalAccess) {
      next();
      return;
    }
    const asker = server.fromHost ? host : netns;
    const socket = new SocketTransport(asker, OWNER).open(
      { address: server.address, port: DNS_PORT, protocol },
      (result) => {
        if (typeof result !== "string" && result.id !== query.id) return;
        timer.cancel();
        socket.close();
        if (typeof result === "string" || isFailure(result)) next();
        else done({ ...result, compressed: true });
      },
    );
    const timer = netns.network.clock.schedule(EXTERNAL_TIMEOUT_MS, () => {
      socket.close();
      next();
    });
    socket.send(query);
  }
}

function answerTo(query: DnsMessage): DnsMessage {
  const reply = replyTo(query);
  return { ...reply, flags: { ...reply.flags, ra: true } };
}

function isFailure({ rcode }: DnsMessage): boolean {
  return rcode === "SERVFAIL" || rcode === "REFUSED";
}
