// The isolation that Docker gives an application in three networks: the walks of ../shared/specs/docker.md §7.
import { readFileSync } from "node:fs";
import { exchange, type Kernel, type NetNamespace } from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  ComposeStack,
  containerResolver,
  type DaemonConfig,
  DockerHost,
  readCompose,
} from "../src/index.ts";
import { Lan, serve } from "./docker-lab.ts";

const COMPOSE = new URL("three-networks/compose.yaml", import.meta.url);

const PROTOCOLS = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, icmp: IPPROTO_ICMP } as const;

/** The application on a host at 192.0.2.10; at 192.0.2.20 a neighbour, where its default route leads, that routes Docker's addresses back by way of it. */
class Application {
  readonly #docker: DockerHost;
  readonly #sources = new Map<string, NetNamespace>();
  readonly host: NetNamespace;

  /** @param more files that are merged over the first */
  constructor(config: DaemonConfig, more: readonly string[] = []) {
    const lan = new Lan(3);
    const machine = (name: string, address: string): Kernel => {
      const kernel = lan.machine(name, address);
      this.#sources.set(name, kernel.initNs);
      serve(kernel.initNs, name);
      return kernel;
    };
    const host = machine("host", "192.0.2.10");
    const neighbour = machine("neighbour", "192.0.2.20").initNs;
    neighbour.addRoute({ dst: parsePrefix("172.16.0.0/12"), via: parseIp("192.0.2.10") });
    this.host = host.initNs;
    this.host.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: parseIp("192.0.2.20") });
    this.host.sysctl.set("net/ipv4/ip_forward", 1);
    this.#docker = new DockerHost(host, config);
    const project = readCompose(
      [readFileSync(COMPOSE, "utf8"), ...more].map((text, i) => ({ name: `${i}.yaml`, text })),
    );
    for (const { service, container } of new ComposeStack(this.#docker, project).containers) {
      this.#sources.set(service.name, container.netns);
    }
  }

  netns(name: string): NetNamespace {
    return this.#sources.get(name) as NetNamespace;
  }

  /** The addresses that a container's resolver has for a name, as getaddrinfo puts them. */
  lookup(from: string, name: string): string {
    let heard = "nothing";
    containerResolver(this.#docker.container(`shop-${from}-1`)).lookup(
      name,
      "AF_INET",
      ({ addresses, error }) => {
        heard = error ?? addresses.map(formatIp).join(" ");
      },
    );
    this.#docker.kernel.network.clock.settle();
    return heard;
  }

  /** Who answered and whom it saw; or what came of it, and which rule was in the way. */
  walk(from: string, to: string, protocol: keyof typeof PROTOCOLS = "tcp"): string {
    const [address = "", port] = to.split(":");
    const { outcome, report, replyFrom, drops } = exchange(this.netns(from), {
      protocol: PROTOCOLS[protocol],
      dst: parseIp(address),
      port: Number(port ?? 80),
    });
    if (report !== undefined) {
      const service = report.owner.replace(/^shop-(.*)-1$/, "$1");
      return `${service} saw ${formatIp(report.seenAddress)}`;
    }
    if (replyFrom !== undefined) return `reply from ${formatIp(replyFrom)}`;
    const [rule] = drops.flatMap((drop) => drop.rule ?? []);
    return rule === undefined ? outcome : `${outcome} by ${rule.location}`;
  }
}

const HOSTS: readonly {
  readonly name: string;
  readonly config: DaemonConfig;
  /** Where the rules stand that keep others away from a container's own address, and from an internal network. */
  readonly direct: RegExp;
  readonly internal: RegExp;
}[] = [true, false].flatMap((userlandProxy) => {
  const proxy = userlandProxy ? "" : ", without the userland proxy";
  return [
    {
      name: `iptables${proxy}`,
      config: { firewallBackend: "iptables", userlandProxy },
      direct: /^timeout by raw PREROUTING$/,
      internal: /^timeout by filter DOCKER-INTERNAL$/,
    },
    {
      name: `nftables${proxy}`,
      config: { firewallBackend: "nftables", userlandProxy },
      direct: /^timeout by ip docker-bridges raw-PREROUTING$/,
      internal: /^timeout by ip docker-bridges filter-forward-in__br-[0-9a-f]+$/,
    },
  ] as const;
});

const SERVICES = ["proxy", "web", "api", "admin", "db", "cache"];

/** All addresses in the order of the columns, and whose they are. */
const ADDRESSES = [
  ["172.30.1.10", "proxy"],
  ["172.30.1.20", "web"],
  ["172.30.2.20", "web"],
  ["172.30.2.30", "api"],
  ["172.30.2.40", "admin"],
  ["172.30.3.30", "api"],
  ["172.30.3.50", "db"],
  ["172.30.3.60", "cache"],
] as const;

/**
 * Who reaches which address: `+`; or is kept away by the rule for direct access (`d`), by that of the internal network (`i`), or
 * has no route (`-`). Networks of the columns: front twice, back thrice, data thrice.
 */
const REACH: readonly (readonly [string, string])[] = [
  ["proxy", "++ ddd iii"],
  ["web", "++ +++ iii"],
  ["api", "dd +++ +++"],
  ["admin", "dd +++ iii"],
  ["db", "-- --- +++"],
  ["cache", "-- --- +++"],
  ["host", "++ +++ +++"],
  ["neighbour", "dd ddd iii"],
];

describe.each(HOSTS)("with $name", ({ config, direct, internal }) => {
  test.each(REACH)("%s reaches %s", (from, cells) => {
    const app = new Application(config);
    const wanted = cells.replaceAll(" ", "");
    for (const [i, [address, owner]] of ADDRESSES.entries()) {
      for (const protocol of ["tcp", "udp", "icmp"] as const) {
        const came = app.walk(from, address, protocol);
        const what = `${from} to ${address} by ${protocol}`;
        const answer = protocol === "icmp" ? `reply from ${address}` : `${owner} saw `;
        switch (wanted[i]) {
          case "+":
            expect(came.startsWith(answer), `${what}: ${came}`).toBe(true);
            break;
          case "d":
            expect(came, what).toMatch(direct);
            break;
          case "i":
            expect(came, what).toMatch(internal);
            break;
          default:
            expect(came, what).toBe("unreachable");
        }
      }
    }
  });
});

/** Section 7 of the fact sheet, and what a published port is where there is no userland proxy. */
const WALKS: readonly {
  readonly why: string;
  readonly from: string;
  readonly to: string;
  readonly want: string;
  readonly withoutProxy?: string;
}[] = [
  { why: "one bridge", from: "proxy", to: "172.30.1.20:80", want: "web saw 172.30.1.10" },
  {
    why: "a published port, from another network",
    from: "proxy",
    to: "192.0.2.10:8081",
    want: "api saw 172.30.2.1",
  },
  {
    why: "the same by the gateway of its own",
    from: "proxy",
    to: "172.30.1.1:8081",
    want: "api saw 172.30.2.1",
  },
  {
    why: "a published port, from its own network",
    from: "admin",
    to: "192.0.2.10:8081",
    want: "api saw 172.30.2.1",
    withoutProxy: "api saw 172.30.2.40",
  },
  {
    why: "a container's own published port",
    from: "proxy",
    to: "192.0.2.10:8080",
    want: "proxy saw 172.30.1.1",
  },
  {
    why: "a published port, from the LAN",
    from: "neighbour",
    to: "192.0.2.10:8080",
    want: "proxy saw 192.0.2.20",
  },
  {
    why: "a published port, from the host",
    from: "host",
    to: "192.0.2.10:8080",
    want: "proxy saw 192.0.2.10",
    withoutProxy: "proxy saw 172.30.1.1",
  },
  {
    why: "the same by loopback",
    from: "host",
    to: "127.0.0.1:8080",
    want: "proxy saw 172.30.1.1",
  },
  {
    why: "published on loopback, from the host",
    from: "host",
    to: "127.0.0.1:9090",
    want: "admin saw 172.30.2.1",
  },
  {
    why: "published on loopback, from the LAN",
    from: "neighbour",
    to: "192.0.2.10:9090",
    want: "refused",
  },
  {
    why: "published on loopback, from a container",
    from: "web",
    to: "192.0.2.10:9090",
    want: "refused",
  },
  {
    why: "published by who is on an internal network alone, which counts for nothing",
    from: "neighbour",
    to: "192.0.2.10:5432",
    want: "refused",
  },
  {
    why: "the host to a container",
    from: "host",
    to: "172.30.2.40:80",
    want: "admin saw 172.30.2.1",
  },
  {
    why: "the host to an internal network",
    from: "host",
    to: "172.30.3.50:80",
    want: "db saw 172.30.3.1",
  },
  {
    why: "within an internal network",
    from: "db",
    to: "172.30.3.30:80",
    want: "api saw 172.30.3.50",
  },
  {
    why: "between a container's two networks nothing is forwarded",
    from: "cache",
    to: "172.30.2.30:80",
    want: "unreachable",
  },
  {
    why: "out, from a network",
    from: "web",
    to: "192.0.2.20:80",
    want: "neighbour saw 192.0.2.10",
  },
  {
    why: "out, by the one of two networks that is not internal",
    from: "api",
    to: "192.0.2.20:80",
    want: "neighbour saw 192.0.2.10",
  },
  { why: "out, from an internal network", from: "db", to: "192.0.2.20:80", want: "unreachable" },
];

/**
 * What names mean to whom: services by their addresses on the first of one's own networks that has them, the gateway's before
 * others (libnetwork sandbox.go `resolveName`).
 */
const NAMES: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ["proxy", { proxy: "172.30.1.10", web: "172.30.1.20" }],
  [
    "web",
    {
      proxy: "172.30.1.10",
      web: "172.30.2.20",
      api: "172.30.2.30",
      admin: "172.30.2.40",
    },
  ],
  [
    "api",
    {
      web: "172.30.2.20",
      api: "172.30.2.30",
      admin: "172.30.2.40",
      db: "172.30.3.50",
      cache: "172.30.3.60",
    },
  ],
  ["admin", { web: "172.30.2.20", api: "172.30.2.30", admin: "172.30.2.40" }],
  ["db", { api: "172.30.3.30", db: "172.30.3.50", cache: "172.30.3.60" }],
  ["cache", { api: "172.30.3.30", db: "172.30.3.50", cache: "172.30.3.60" }],
];

test.each(NAMES)("%s knows the names of those on its networks: %j", (from, known) => {
  const app = new Application({});
  for (const name of SERVICES) {
    const found = app.lookup(from, name);
    if (known[name] === undefined) expect(found, name).toMatch(/^E/);
    else expect(found, name).toBe(known[name]);
  }
});

describe.each(HOSTS)("with $name", ({ config }) => {
  test.each(WALKS)("$why: $from to $to", ({ from, to, want, withoutProxy }) => {
    const expected = config.userlandProxy ? want : (withoutProxy ?? want);
    expect(new Application(config).walk(from, to)).toBe(expected);
  });
});

test.each(HOSTS)("with $name, a way out by hand ends at an internal network", (host) => {
  const app = new Application(host.config);
  app.netns("db").addRoute({ dst: parsePrefix("0.0.0.0/0"), via: parseIp("172.30.3.1") });
  const iptables = host.config.firewallBackend === "iptables";
  expect(app.walk("db", "192.0.2.20:80")).toMatch(
    iptables ? host.internal : /^timeout by ip docker-bridges filter-forward-out__br-[0-9a-f]+$/,
  );
});

test.each(HOSTS)("with $name, direct routing opens what is published, and no more", (host) => {
  const app = new Application({ ...host.config, allowDirectRouting: true });
  const kept = /^timeout by (filter DOCKER|ip docker-bridges filter-forward-in__br-[0-9a-f]+)$/;
  expect(app.walk("neighbour", "172.30.1.10:80")).toBe("proxy saw 192.0.2.20");
  expect(app.walk("web", "172.30.2.30:80")).toBe("api saw 172.30.2.20");
  expect(app.walk("neighbour", "172.30.1.20:80")).toMatch(kept);
  expect(app.walk("proxy", "172.30.2.30:80")).toBe("api saw 172.30.2.1");
  expect(app.walk("proxy", "172.30.2.20:80")).toMatch(kept);
});

test.each(HOSTS)("with $name, no icc keeps those of one network apart", (host) => {
  const noIcc =
    'networks: { back: { driver_opts: { com.docker.network.bridge.enable_icc: "false" } } }';
  const app = new Application(host.config, [noIcc]);
  const kept =
    /^timeout by (filter DOCKER-FORWARD|ip docker-bridges filter-forward-in__br-[0-9a-f]+)$/;
  expect(app.walk("web", "172.30.2.30:80")).toMatch(kept);
  expect(app.walk("web", "172.30.2.30", "icmp")).toMatch(kept);
  expect(app.walk("web", "172.30.1.10:80")).toBe("proxy saw 172.30.1.20");
  expect(app.walk("api", "192.0.2.20:80")).toBe("neighbour saw 192.0.2.10");
});
