import {
  type DnsMessage,
  DnsServer,
  queryOf,
  replyTo,
  reverseName,
  SocketTransport,
} from "@cnilab/dns";
import { type NetNamespace, Trace } from "@cnilab/linux";
import { formatIp, type IpAddress, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Lan, run } from "../../test/docker-lab.ts";
import type { ConnectSpec, ContainerSpec } from "../container.ts";
import { type DaemonConfig, DockerHost } from "../docker-host.ts";
import { containerResolver } from "./container-resolver.ts";
import { EMBEDDED_DNS } from "./embedded-resolver.ts";

/** A host at 192.0.2.10 whose DNS server is a neighbour at 192.0.2.53, which knows example.com, and who asked it. */
class Lab extends Lan {
  readonly docker: DockerHost;
  readonly asked: string[] = [];
  readonly dns: NetNamespace;

  constructor(
    config: DaemonConfig = {},
    resolvConf = "nameserver 192.0.2.53\nsearch corp.example\n",
  ) {
    super(7);
    this.dns = this.machine("dns", "192.0.2.53").initNs;
    this.serve(this.dns, "192.0.2.53");
    const host = this.machine("host", "192.0.2.10");
    host.files.write("/etc/resolv.conf", resolvConf);
    if (config.firewallBackend === "nftables") host.initNs.sysctl.set("net/ipv4/ip_forward", 1);
    this.docker = new DockerHost(host, config);
  }

  serve(netns: NetNamespace, at: string): void {
    new DnsServer(netns, {
      address: parseIp(at),
      port: 53,
      owner: "named",
      handle: (query, { address, protocol }, done) => {
        const name = query.question[0]?.name ?? "";
        this.asked.push(`${name} ${protocol} by ${formatIp(address)}`);
        if (name.startsWith("slow.")) return;
        if (name.startsWith("broken.")) done(replyTo(query, "SERVFAIL"));
        else if (!name.endsWith("example.com.")) done(replyTo(query, "NXDOMAIN"));
        else {
          const answer = [{ name, ttl: 5, type: "A", data: "198.51.100.1" }];
          done({ ...replyTo(query), answer: query.question[0]?.type === "A" ? answer : [] });
        }
      },
    });
  }

  run(
    name: string,
    networks: readonly (string | ConnectSpec)[],
    spec: Partial<ContainerSpec> = {},
  ) {
    return run(this.docker, name, networks, spec);
  }

  /** As getaddrinfo has it. */
  lookup(container: string, name: string, trace?: Trace): string {
    let heard = "nothing";
    const options = trace === undefined ? {} : { trace };
    containerResolver(this.docker.container(container), options).lookup(
      name,
      "AF_UNSPEC",
      ({ addresses, error }) => {
        heard = error ?? addresses.map(formatIp).join(" ");
      },
    );
    this.clock.settle();
    return heard;
  }

  /** As dig has it. */
  ask(
    container: string,
    name: string,
    type: string,
    protocol: "udp" | "tcp" = "udp",
    address: IpAddress = EMBEDDED_DNS,
  ): DnsMessage | string {
    let heard: DnsMessage | string = "nothing";
    const socket = new SocketTransport(this.docker.container(container).netns, "dig").open(
      { address, port: 53, protocol },
      (result) => {
        heard = result;
        socket.close();
      },
    );
    socket.send(queryOf(1, name, type));
    this.clock.settle();
    return heard;
  }

  answers(container: string, name: string, type: string, protocol: "udp" | "tcp" = "udp"): string {
    const answer = this.ask(container, name, type, protocol);
    if (typeof answer === "string") return answer;
    return [answer.rcode, ...answer.answer.map(({ data }) => data)].join(" ");
  }
}

/** web and db on front, db on back, too, with aliases; other on a network of its own; old on the default bridge. */
function lab(config?: DaemonConfig): Lab {
  const made = new Lab(config);
  for (const name of ["front", "back", "apart", "a.b"]) made.docker.createNetwork({ name });
  made.docker.createNetwork({ name: "inside", internal: true });
  made.run("web", [{ network: "front", links: [{ container: "db", alias: "store" }] }]);
  made.run("db", [
    { network: "front", aliases: ["database", "shared"] },
    { network: "back", aliases: ["backdb"] },
  ]);
  made.run("job", ["back"]);
  made.run("web2", [{ network: "front", aliases: ["shared"] }], { hostname: "Webber" });
  made.run("other", ["apart"]);
  made.run("dotted", ["a.b"]);
  made.run("shut", ["inside"]);
  made.run("old", ["bridge"]);
  return made;
}

const NAMES: readonly { why: string; from: string; name: string; want: string }[] = [
  { why: "another by its name", from: "web", name: "db", want: "172.18.0.3" },
  { why: "in any case", from: "web", name: "DB", want: "172.18.0.3" },
  { why: "by an alias", from: "web", name: "database", want: "172.18.0.3" },
  { why: "by the network's name", from: "web", name: "db.front", want: "172.18.0.3" },
  { why: "by an alias and the network's", from: "web", name: "database.front", want: "172.18.0.3" },
  { why: "a network with a dot", from: "dotted", name: "dotted.a.b", want: "172.21.0.2" },
  { why: "by its hostname", from: "web", name: "webber", want: "172.18.0.4" },
  { why: "by a link's alias", from: "web", name: "store", want: "172.18.0.3" },
  { why: "a link is its container's own", from: "web2", name: "store", want: "EAI_NONAME" },
  { why: "itself", from: "web", name: "web", want: "172.18.0.2" },
  { why: "on another network", from: "web", name: "job", want: "EAI_NONAME" },
  { why: "of another network", from: "web", name: "db.back", want: "EAI_NONAME" },
  { why: "an alias of another network", from: "web", name: "backdb", want: "EAI_NONAME" },
  { why: "who is on both", from: "db", name: "job", want: "172.19.0.3" },
  { why: "the default bridge has no names", from: "old", name: "old2", want: "EAI_NONAME" },
  { why: "outside", from: "web", name: "www.example.com", want: "198.51.100.1" },
  {
    why: "outside, by the default bridge",
    from: "old",
    name: "www.example.com",
    want: "198.51.100.1",
  },
  {
    why: "not outside an internal network",
    from: "shut",
    name: "www.example.com",
    want: "EAI_AGAIN",
  },
  { why: "within an internal network", from: "shut", name: "shut", want: "172.22.0.2" },
];

describe.each(["iptables", "nftables"] as const)("with %s", (firewallBackend) => {
  test.each(NAMES)("$why: $from asks for $name: $want", ({ from, name, want }) => {
    expect(lab({ firewallBackend }).lookup(from, name)).toBe(want);
  });
});

test.each<{ name: string; type: string; want: string }>([
  { name: "db.", type: "A", want: "NOERROR 172.18.0.3" },
  { name: "db.", type: "AAAA", want: "NOERROR" },
  { name: "db.", type: "MX", want: "NOERROR" },
  { name: "db.", type: "TXT", want: "NXDOMAIN" },
  { name: "nobody.", type: "A", want: "NXDOMAIN" },
  { name: "broken.", type: "A", want: "SERVFAIL" },
  { name: "slow.", type: "A", want: "SERVFAIL" },
  { name: reverseName(parseIp("172.18.0.3")), type: "PTR", want: "NOERROR db.front." },
  { name: reverseName(parseIp("172.19.0.2")), type: "PTR", want: "NXDOMAIN" },
])("$type of $name: $want", ({ name, type, want }) => {
  const made = lab();
  expect(made.answers("web", name, type)).toBe(want);
  expect(made.answers("web", name, type, "tcp")).toBe(want);
});

test("answers are good for ten minutes, not authoritative, and say that others are asked", () => {
  const made = lab();
  expect(made.ask("web", "db.", "A")).toMatchObject({
    flags: { aa: false, ra: true, rd: true },
    answer: [{ name: "db.", ttl: 600 }],
  });
});

test("who has one name gets it in turn", () => {
  const made = lab();
  const seen = new Set(Array.from({ length: 20 }, () => made.lookup("web", "shared")));
  expect([...seen].sort()).toEqual(["172.18.0.3 172.18.0.4", "172.18.0.4 172.18.0.3"]);
  const again = lab();
  expect([1, 2, 3].map(() => again.lookup("web", "shared"))).toEqual(
    ((first) => [1, 2, 3].map(() => first.lookup("web", "shared")))(lab()),
  );
});

test("short ids are names", () => {
  const made = lab();
  expect(made.lookup("web", made.docker.container("db").shortId)).toBe("172.18.0.3");
});

test("what a container is not asked for goes to the host's servers, from the host", () => {
  const made = lab();
  made.lookup("web", "www.example.com");
  expect(made.asked).toEqual([
    "www.example.com. udp by 192.0.2.10",
    "www.example.com. udp by 192.0.2.10",
  ]);
});

test("servers of --dns are asked from the container, also on a network that leads nowhere else", () => {
  const made = lab();
  made.serve(made.run("named", ["inside"]).netns, "172.22.0.3");
  made.run("own", ["inside"], { dns: [parseIp("172.22.0.3")] });
  expect(made.lookup("own", "www.example.com")).toBe("198.51.100.1");
  expect(made.asked[0]).toBe("www.example.com. udp by 172.22.0.4");
});

test("a server on the host's own loopback is asked there", () => {
  const made = new Lab({}, "nameserver 127.0.0.1\n");
  made.serve(made.docker.kernel.initNs, "127.0.0.1");
  made.docker.createNetwork({ name: "front" });
  made.run("web", ["front"]);
  expect(made.lookup("web", "www.example.com")).toBe("198.51.100.1");
  expect(made.asked[0]).toBe("www.example.com. udp by 127.0.0.1");
});

test("a query is translated to the resolver's socket and back", () => {
  const made = lab();
  const trace = new Trace();
  expect(made.lookup("web", "db", trace)).toBe("172.18.0.3");
  const { netns } = made.docker.container("web");
  const nat = netns.iptables(4).save("nat");
  const [udp] = [...netns.sockets.all()].filter(
    (s) => s.owner === "dockerd" && s.state === "UNCONN",
  );
  const [tcp] = [...netns.sockets.all()].filter(
    (s) => s.owner === "dockerd" && s.state === "LISTEN",
  );
  expect(nat.split("\n").filter((line) => line.startsWith("-A"))).toEqual([
    "-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT",
    "-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING",
    `-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:${tcp?.localPort}`,
    `-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:${udp?.localPort}`,
    `-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport ${tcp?.localPort} -j SNAT --to-source :53`,
    `-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport ${udp?.localPort} -j SNAT --to-source :53`,
  ]);
  expect(trace.steps.some(({ kind }) => kind === "deliver")).toBe(true);
});

test("port 53 in the container stays free for its own server", () => {
  const made = lab();
  const { netns } = made.docker.container("web");
  made.serve(netns, "127.0.0.1");
  expect(made.lookup("web", "db")).toBe("172.18.0.3");
});

test("names come and go with networks and containers", () => {
  const made = lab();
  const { docker } = made;
  expect(made.lookup("web", "job")).toBe("EAI_NONAME");
  docker.connect("job", { network: "front", aliases: ["worker"] });
  expect([made.lookup("web", "job"), made.lookup("web", "worker")]).toEqual([
    "172.18.0.5",
    "172.18.0.5",
  ]);
  docker.rename("job", "task");
  expect([made.lookup("web", "job"), made.lookup("web", "task")]).toEqual([
    "EAI_NONAME",
    "172.18.0.5",
  ]);
  docker.disconnect("task", "front");
  expect(made.lookup("web", "task")).toBe("EAI_NONAME");
  docker.stop("db");
  expect(made.lookup("web", "db")).toBe("EAI_NONAME");
  docker.start("db");
  expect(made.lookup("web", "db")).toBe("172.18.0.3");
  docker.remove("db");
  expect(made.lookup("web", "db")).toBe("EAI_NONAME");
});

test("a container of the default bridge gets the resolver with its first network of another kind", () => {
  const made = lab();
  const conf = () => made.docker.container("old").files.read("/etc/resolv.conf") ?? "";
  expect(conf()).toContain("nameserver 192.0.2.53");
  made.docker.connect("old", { network: "front" });
  expect(conf()).toContain("nameserver 127.0.0.11");
  expect(made.lookup("old", "db")).toBe("172.18.0.3");
  made.docker.disconnect("old", "front");
  expect(conf()).toContain("nameserver 127.0.0.11");
  expect(made.lookup("old", "db")).toBe("EAI_NONAME");
});

test("ndots that somebody set keeps short names in", () => {
  const made = lab();
  made.run("dots", ["front"], { dnsOptions: ["ndots:2"], dnsSearch: ["example.com"] });
  expect(made.lookup("dots", "www")).toBe("198.51.100.1");
  expect(made.answers("dots", "nobody.", "A")).toBe("NOERROR");
});
