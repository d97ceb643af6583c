// What resolvers ask, of whom and when: glibc 2.36 (resolv/res_query.c, res_send.c), musl 1.2.5 (res_msend.c, lookup_name.c).
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { formatIp, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  type AddressFamilyHint,
  type DnsMessage,
  type DnsTransport,
  formatResolvConf,
  HostsTable,
  type LookupResult,
  parseResolvConf,
  podResolvConf,
  Resolver,
  type ResolverFlavour,
  replyTo,
} from "../src/index.ts";

type Behaviour =
  | "answer"
  | "silent"
  | "refuse"
  | "closed"
  | "servfail"
  | "truncate"
  | "lose one of two";

/** A network of name servers that each behave in one way; a name that begins with "web" is known to all. */
class Network implements DnsTransport {
  readonly #clock: VirtualClock;
  readonly #behaviour: Readonly<Record<string, Behaviour>>;
  /** `protocol address socket type name`, in order. */
  readonly sent: string[] = [];
  #sockets = 0;

  constructor(clock: VirtualClock, behaviour: Readonly<Record<string, Behaviour>>) {
    this.#clock = clock;
    this.#behaviour = behaviour;
  }

  open(...[server, receive]: Parameters<DnsTransport["open"]>): ReturnType<DnsTransport["open"]> {
    const address = formatIp(server.address);
    const socket = ++this.#sockets;
    let open = true;
    let queries = 0;
    return {
      send: (query) => {
        const { type = "", name = "" } = query.question[0] ?? {};
        this.sent.push(`${server.protocol} ${address} #${socket} ${type} ${name}`);
        const behaviour = this.#behaviour[address];
        queries++;
        const lost = behaviour === "lose one of two" && queries === 2;
        if (behaviour === "silent" || lost) return;
        this.#clock.schedule(1, () => {
          if (!open) return;
          if (behaviour === "closed") receive("refused");
          else receive(answerTo(query, behaviour, server.protocol));
        });
      },
      close: () => {
        open = false;
      },
    };
  }
}

function answerTo(
  query: DnsMessage,
  behaviour: Behaviour | undefined,
  protocol: string,
): DnsMessage {
  const { name = "", type = "" } = query.question[0] ?? {};
  if (behaviour === "refuse") return replyTo(query, "REFUSED");
  if (behaviour === "servfail") return replyTo(query, "SERVFAIL");
  const reply = replyTo(query);
  if (behaviour === "truncate" && protocol === "udp")
    return { ...reply, flags: { ...reply.flags, tc: true } };
  if (name.startsWith("half.")) return reply;
  if (name.startsWith("cname."))
    return { ...reply, answer: [{ name, ttl: 1, type: "CNAME", data: "x." }] };
  if (!name.startsWith("web.ns")) return { ...reply, rcode: "NXDOMAIN" };
  return type === "A" ? { ...reply, answer: [{ name, ttl: 1, type, data: "10.96.0.7" }] } : reply;
}

interface Run {
  readonly conf?: string;
  readonly flavour?: ResolverFlavour;
  readonly servers?: Readonly<Record<string, Behaviour>>;
  readonly family?: AddressFamilyHint;
  readonly names?: readonly string[];
}

function run({
  conf = "options ndots:5",
  flavour = "glibc",
  servers = {},
  family = "AF_UNSPEC",
  names = ["web"],
}: Run) {
  const clock = new VirtualClock();
  const addresses = Object.keys(servers).length === 0 ? ["10.0.0.1"] : Object.keys(servers);
  const network = new Network(clock, servers);
  const text = `search ns.svc svc\n${addresses.map((each) => `nameserver ${each}\n`).join("")}${conf}\n`;
  const resolver = new Resolver({
    resolvConf: parseResolvConf(text),
    flavour,
    transport: network,
    clock,
    random: new SeededRandom(1),
    hosts: new HostsTable("127.0.0.1 localhost\n10.1.1.1 pod-a # this one\n"),
  });
  const results: LookupResult[] = [];
  const times: number[] = [];
  for (const name of names) {
    const start = clock.now;
    resolver.lookup(name, family, (found) => {
      results.push(found);
      times.push(clock.now - start);
    });
    clock.settle();
  }
  return { results, times, sent: network.sent };
}

function outcome({ results }: ReturnType<typeof run>): string | undefined {
  const last = results.at(-1);
  return last?.error ?? last?.addresses.map(formatIp).join(" ");
}

describe("glibc", () => {
  test.each([
    [
      "both at once, on one socket",
      {},
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #1 AAAA web.ns.svc."],
      1,
      "10.96.0.7",
    ],
    [
      "one family alone",
      { family: "AF_INET" as const },
      ["udp 10.0.0.1 #1 A web.ns.svc."],
      1,
      "10.96.0.7",
    ],
    [
      "single-request: one after the other",
      { conf: "options single-request" },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #1 AAAA web.ns.svc."],
      2,
      "10.96.0.7",
    ],
    [
      "single-request-reopen: from another socket",
      { conf: "options single-request-reopen" },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #2 AAAA web.ns.svc."],
      2,
      "10.96.0.7",
    ],
    [
      "use-vc: TCP",
      { conf: "options use-vc" },
      ["tcp 10.0.0.1 #1 A web.ns.svc.", "tcp 10.0.0.1 #1 AAAA web.ns.svc."],
      1,
      "10.96.0.7",
    ],
    [
      "a cut answer: again over TCP",
      { servers: { "10.0.0.1": "truncate" as const } },
      [
        "udp 10.0.0.1 #1 A web.ns.svc.",
        "udp 10.0.0.1 #1 AAAA web.ns.svc.",
        "tcp 10.0.0.1 #2 A web.ns.svc.",
        "tcp 10.0.0.1 #2 AAAA web.ns.svc.",
      ],
      2,
      "10.96.0.7",
    ],
    [
      "a server that refuses: the next",
      {
        family: "AF_INET" as const,
        servers: { "10.0.0.1": "refuse" as const, "10.0.0.2": "answer" as const },
      },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.2 #2 A web.ns.svc."],
      2,
      "10.96.0.7",
    ],
    [
      "a closed port: the next",
      {
        family: "AF_INET" as const,
        servers: { "10.0.0.1": "closed" as const, "10.0.0.2": "answer" as const },
      },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.2 #2 A web.ns.svc."],
      2,
      "10.96.0.7",
    ],
    [
      "a silent server: the next after five seconds",
      {
        family: "AF_INET" as const,
        servers: { "10.0.0.1": "silent" as const, "10.0.0.2": "answer" as const },
      },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.2 #2 A web.ns.svc."],
      5001,
      "10.96.0.7",
    ],
    [
      "... or as many as it is told",
      {
        conf: "options timeout:1",
        family: "AF_INET" as const,
        servers: { "10.0.0.1": "silent" as const, "10.0.0.2": "answer" as const },
      },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.2 #2 A web.ns.svc."],
      1001,
      "10.96.0.7",
    ],
    [
      "nobody at home: two attempts, then no more names",
      { family: "AF_INET" as const, servers: { "10.0.0.1": "silent" as const } },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #2 A web.ns.svc."],
      10_000,
      "EAI_AGAIN",
    ],
    [
      "attempts:1",
      {
        conf: "options attempts:1",
        family: "AF_INET" as const,
        servers: { "10.0.0.1": "silent" as const },
      },
      ["udp 10.0.0.1 #1 A web.ns.svc."],
      5000,
      "EAI_AGAIN",
    ],
    [
      "a closed port alone",
      { family: "AF_INET" as const, servers: { "10.0.0.1": "closed" as const } },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #2 A web.ns.svc."],
      2,
      "EAI_AGAIN",
    ],
    [
      "the lost second query: five seconds, then one after the other",
      { servers: { "10.0.0.1": "lose one of two" as const }, conf: "options attempts:1" },
      [
        "udp 10.0.0.1 #1 A web.ns.svc.",
        "udp 10.0.0.1 #1 AAAA web.ns.svc.",
        "udp 10.0.0.1 #2 A web.ns.svc.",
        "udp 10.0.0.1 #2 AAAA web.ns.svc.",
        "udp 10.0.0.1 #3 A web.ns.svc.",
        "udp 10.0.0.1 #4 AAAA web.ns.svc.",
      ],
      10_002,
      "10.96.0.7",
    ],
  ])("%s", (_, how, sent, time, expected) => {
    const done = run({ ...how });
    expect(done.sent).toEqual(sent);
    expect(done.times).toEqual([time]);
    expect(outcome(done)).toBe(expected);
  });

  test("SERVFAIL does not end the walk, but what follows from it", () => {
    const done = run({ family: "AF_INET", servers: { "10.0.0.1": "servfail" } });
    expect(done.sent.map((line) => line.split(" ").at(-1))).toEqual([
      "web.ns.svc.",
      "web.ns.svc.",
      "web.svc.",
      "web.svc.",
      "web.",
      "web.",
    ]);
    expect(outcome(done)).toBe("EAI_AGAIN");
  });

  test.each([
    ["half", "EAI_NODATA"],
    ["nope", "EAI_NONAME"],
    ["cname", "EAI_NONAME"],
    ["localhost", "127.0.0.1"],
    ["POD-A.", "10.1.1.1"],
    ["10.2.3.4", "10.2.3.4"],
  ])("%s is %s", (name, expected) => {
    const done = run({ names: [name], family: "AF_INET" });
    expect(outcome(done)).toBe(expected);
  });

  test.each<[string, string, LookupResult["unasked"]]>([
    ["a number", "10.2.3.4", "address"],
    ["a number of the other family", "2001:db8::1", "address"],
    ["a name of /etc/hosts", "localhost", "hosts"],
    ["an empty name", "", "no name"],
    ["an empty label", "a..b", "no name"],
    ["a label of 64 bytes", "x".repeat(64), "no name"],
    ["a name of 256 bytes", Array(51).fill("abcd").join("."), "no name"],
    ["a name that is too long with a domain alone", Array(50).fill("abcd").join("."), undefined],
  ])("nobody is asked for %s", (_, name, unasked) => {
    const done = run({ names: [name], family: "AF_INET" });
    expect(done.results[0]?.unasked).toBe(unasked);
    expect(done.sent.length > 0).toBe(unasked === undefined);
    expect(done.results[0]?.steps).toHaveLength(done.sent.length);
  });

  test("nobody is asked where there is no server", () => {
    const clock = new VirtualClock();
    const resolver = new Resolver({
      resolvConf: parseResolvConf("search ns.svc\n"),
      transport: new Network(clock, {}),
      clock,
      random: new SeededRandom(1),
    });
    resolver.lookup("web", "AF_INET", (found) => {
      expect(found).toEqual({
        addresses: [],
        error: "EAI_AGAIN",
        steps: [],
        unasked: "no server",
      });
    });
    expect.assertions(1);
  });

  test("rotate begins with another server each time", () => {
    const servers = { "10.0.0.1": "answer", "10.0.0.2": "answer" } as const;
    const done = run({
      conf: "options rotate ndots:5",
      servers,
      family: "AF_INET",
      names: ["web", "web", "web"],
    });
    const asked = done.sent.map((line) => line.split(" ")[1]);
    expect(new Set(asked).size).toBe(2);
    expect(asked[0]).toBe(asked[2]);
  });

  test("keeps to asking one after the other once it had to", () => {
    const done = run({ servers: { "10.0.0.1": "lose one of two" }, names: ["web", "web"] });
    expect(done.times).toEqual([10_002, 2]);
  });
});

describe("musl", () => {
  const servers = { "10.0.0.1": "silent", "10.0.0.2": "answer" } as const;
  test.each([
    [
      "all servers at once, the first answer",
      { servers, family: "AF_INET" as const },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.2 #2 A web.ns.svc."],
      1,
      "10.96.0.7",
    ],
    [
      "again after half the time",
      { family: "AF_INET" as const, servers: { "10.0.0.1": "silent" as const } },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #1 A web.ns.svc."],
      5000,
      "EAI_AGAIN",
    ],
    [
      "REFUSED is no answer",
      { family: "AF_INET" as const, servers: { "10.0.0.1": "refuse" as const } },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "udp 10.0.0.1 #1 A web.ns.svc."],
      5000,
      "EAI_AGAIN",
    ],
    [
      "TCP where it was cut",
      { family: "AF_INET" as const, servers: { "10.0.0.1": "truncate" as const } },
      ["udp 10.0.0.1 #1 A web.ns.svc.", "tcp 10.0.0.1 #2 A web.ns.svc."],
      2,
      "10.96.0.7",
    ],
    [
      "NODATA ends the walk",
      { family: "AF_INET" as const, names: ["half"] },
      ["udp 10.0.0.1 #1 A half.ns.svc."],
      1,
      "EAI_NODATA",
    ],
    [
      "as many dots as ndots: no search",
      { conf: "options ndots:1", family: "AF_INET" as const, names: ["a.b"] },
      ["udp 10.0.0.1 #1 A a.b."],
      1,
      "EAI_NONAME",
    ],
    [
      "a lost query costs half the time",
      { servers: { "10.0.0.1": "lose one of two" as const } },
      [
        "udp 10.0.0.1 #1 A web.ns.svc.",
        "udp 10.0.0.1 #1 AAAA web.ns.svc.",
        "udp 10.0.0.1 #1 AAAA web.ns.svc.",
      ],
      2501,
      "10.96.0.7",
    ],
  ])("%s", (_, how, sent, time, expected) => {
    const done = run({ conf: "options ndots:5", flavour: "musl", ...how });
    expect(done.sent).toEqual(sent);
    expect(done.times).toEqual([time]);
    expect(outcome(done)).toBe(expected);
  });
});

describe("a pod's resolv.conf", () => {
  const NODE = parseResolvConf("nameserver 192.0.2.1\nsearch corp.test. home\noptions edns0\n");
  const of = (spec: object, node = NODE, clusterDns = [parseIp("10.96.0.10")]) =>
    podResolvConf({
      pod: {
        kind: "Pod",
        apiVersion: "v1",
        metadata: { name: "p", namespace: "shop" },
        spec: { containers: [], ...spec },
      },
      node,
      clusterDns,
      clusterDomain: "cluster.local",
    });
  const CLUSTER =
    "search shop.svc.cluster.local svc.cluster.local cluster.local corp.test home\nnameserver 10.96.0.10\noptions ndots:5\n";
  const HOST = "search corp.test home\nnameserver 192.0.2.1\noptions edns0\n";
  test.each([
    ["by default", {}, CLUSTER],
    ["ClusterFirst", { dnsPolicy: "ClusterFirst" }, CLUSTER],
    ["on the node's network", { hostNetwork: true }, HOST],
    [
      "ClusterFirstWithHostNet",
      { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" },
      CLUSTER,
    ],
    ["Default", { dnsPolicy: "Default" }, HOST],
    [
      "None",
      {
        dnsPolicy: "None",
        dnsConfig: {
          nameservers: ["1.1.1.1"],
          searches: ["a.b"],
          options: [{ name: "ndots", value: "2" }],
        },
      },
      "search a.b\nnameserver 1.1.1.1\noptions ndots:2\n",
    ],
    [
      "ClusterFirst and more",
      {
        dnsConfig: {
          nameservers: ["10.96.0.10", "1.1.1.1"],
          searches: ["home", "x.y"],
          options: [{ name: "ndots", value: "1" }, { name: "edns0" }],
        },
      },
      "search shop.svc.cluster.local svc.cluster.local cluster.local corp.test home x.y\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:1 edns0\n",
    ],
  ])("%s", (_, spec, text) => {
    const { conf, warnings } = of(spec);
    expect(formatResolvConf(conf)).toBe(text);
    expect(warnings).toEqual([]);
  });

  test("has 3 servers, 32 domains and 2048 characters at most", () => {
    const nameservers = ["1.1.1.1", "2.2.2.2", "3.3.3.3"];
    const many = of({
      dnsConfig: { nameservers, searches: Array.from({ length: 40 }, (_, i) => `d${i}.test`) },
    });
    expect([many.conf.nameservers.length, many.conf.search.length]).toEqual([3, 32]);
    expect(many.warnings.map(({ message }) => message.split(",")[0])).toEqual([
      "Nameserver limits were exceeded",
      "Search Line limits were exceeded",
    ]);
    const long = of({
      dnsConfig: { searches: Array.from({ length: 20 }, (_, i) => `${"x".repeat(200)}${i}`) },
    });
    expect(long.conf.search.join(" ").length).toBeLessThanOrEqual(2048);
    expect(long.conf.search).toHaveLength(5 + 9);
  });

  test("falls back to the node's where the kubelet knows no cluster DNS", () => {
    const { conf, warnings } = of({}, NODE, []);
    expect(formatResolvConf(conf)).toBe(HOST);
    expect(warnings.map(({ reason }) => reason)).toEqual(["MissingClusterDNS"]);
  });
});
