import type { KubeObject } from "@cnilab/core";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { IPV4_LOOPBACK, parseIp } from "@cnilab/net";
import { loadAll } from "js-yaml";
import {
  CoreDns,
  type CoreDnsOptions,
  type DnsMessage,
  type DnsServerAddress,
  type DnsTransport,
  LocalTransport,
  listenerAt,
  queryOf,
} from "../src/index.ts";
import { ObjectsApi } from "./objects.ts";

export interface Asked {
  readonly port?: number;
  readonly from?: string;
  readonly protocol?: "udp" | "tcp";
  readonly edns?: number;
  readonly id?: number;
}

/** A CoreDNS to ask, without a network: upstreams are its own other blocks. */
export class TestServer {
  readonly clock: VirtualClock = new VirtualClock();
  readonly dns: CoreDns;
  readonly api: ObjectsApi;
  readonly log: string[] = [];
  readonly fatal: string[] = [];
  /** Servers that were asked, in order. */
  readonly upstreams: string[] = [];
  /** Ports of upstreams that say nothing. */
  readonly silent: Set<number> = new Set();

  constructor(
    corefile: string,
    yaml = "",
    options: Partial<CoreDnsOptions> & { readonly files?: Readonly<Record<string, string>> } = {},
  ) {
    this.api = new ObjectsApi((loadAll(yaml) as KubeObject[]).filter((object) => object));
    let dns: CoreDns | undefined;
    const find = (server: DnsServerAddress) => listenerAt(dns?.listeners ?? [], server);
    const local = new LocalTransport({ clock: this.clock, find, address: IPV4_LOOPBACK });
    const transport: DnsTransport = {
      open: (server, receive) => {
        const socket = local.open(server, receive);
        return {
          send: (query) => {
            this.upstreams.push(`${server.protocol} ${server.port}`);
            if (!this.silent.has(server.port)) socket.send(query);
          },
          close: () => socket.close(),
        };
      },
    };
    const { files = {}, ...rest } = options;
    dns = new CoreDns({
      corefile,
      api: this.api,
      clock: this.clock,
      random: new SeededRandom(1),
      transport,
      readFile: (path) => files[path],
      log: ({ level, text }) => this.log.push(`${level} ${text}`),
      fatal: (text) => this.fatal.push(text),
      ...rest,
    });
    this.dns = dns;
  }

  /** The whole answer; undefined where there is none. */
  ask(name: string, type = "A", asked: Asked = {}): DnsMessage | undefined {
    const { port = 53, from = "10.244.9.9", protocol = "udp", edns, id = 7 } = asked;
    const listener = this.dns.listeners.find((each) => each.port === port);
    let answer: DnsMessage | undefined;
    listener?.handle(
      queryOf(id, name, type, edns === undefined ? undefined : { udpSize: edns }),
      { address: parseIp(from), port: 4000, protocol },
      (message) => {
        answer = message;
      },
    );
    this.clock.settle();
    return answer;
  }

  /** The answer in a line: code, then the sections' records, sorted, after `|`. */
  line(name: string, type = "A", asked: Asked = {}): string {
    const answer = this.ask(name, type, asked);
    return answer === undefined ? "silence" : lineOf(answer);
  }
}

export function lineOf({ rcode, flags, answer, authority, additional }: DnsMessage): string {
  const sections = [answer, authority, additional].map((records) =>
    records
      .map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${data}`)
      .sort()
      .join(", "),
  );
  while (sections.at(-1) === "") sections.pop();
  const marks = `${flags.aa ? "" : " no-aa"}${flags.tc ? " tc" : ""}`;
  return [`${rcode}${marks}`, ...sections].join(" | ");
}
