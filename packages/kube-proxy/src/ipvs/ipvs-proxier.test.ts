import type { KubeObject, Node } from "@cnilab/core";
import { Dummy, type NetNamespace, TcpConnection } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { connect } from "../../test/vectors/packets.ts";
import { RecordingNetwork } from "../../test/vectors/recording-network.ts";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "../config.ts";
import { StandAloneKubeProxy } from "../stand-alone.ts";
import { canonicalAddrs, canonicalIpset, canonicalIpvs } from "./canonical.ts";

const NODE: Node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node1" },
  spec: {},
  status: { addresses: [{ type: "InternalIP", address: "192.168.100.11" }] },
};
const PODS = ["10.244.1.10@node1", "10.244.1.11@node1", "10.244.2.10@node2"];
const WEB = service("web", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] });
const DB = service("db", { clusterIP: "10.96.0.2", ports: [{ port: 80 }] });

/** Node1 of the vectors' network with pods for {@link PODS}, and its kube-proxy. */
class Lab {
  readonly network = new RecordingNetwork([slice("all", [{ port: 8080 }], PODS)], 1, 1);
  readonly node: NetNamespace = this.network.node1;
  readonly #proxy: StandAloneKubeProxy;

  constructor(settings: Partial<KubeProxyConfig> = {}) {
    const config = { ...DEFAULT_CONFIG, clusterCIDRs: ["10.244.0.0/16"], ...settings };
    this.#proxy = new StandAloneKubeProxy(this.node, "node1", { ...config, mode: "ipvs" });
  }

  apply(...objects: KubeObject[]): this {
    this.#proxy.apply([NODE, ...objects]);
    return this;
  }

  /** Real servers of the cluster IP of {@link WEB} with their weights. */
  get servers(): string[] {
    const lines = canonicalIpvs(this.node.ipvs.save()).split("\n");
    return lines
      .filter((line) => line.startsWith("-a -t 10.96.0.1:80 "))
      .map((line) => line.replace(/.* -r (\S+):8080 -m -w /, "$1 "));
  }

  get services(): string[] {
    const lines = canonicalIpvs(this.node.ipvs.save()).split("\n");
    return lines.filter((line) => line.startsWith("-A")).map((line) => line.slice("-A ".length));
  }

  set(name: string): string[] {
    const lines = canonicalIpset(this.node.ipsets.save(name)).trimEnd().split("\n");
    return lines.slice(1).map((line) => line.replace(`add ${name} `, ""));
  }

  /** A connection of a pod to the Service that stays open. */
  open(): TcpConnection {
    const pod = this.network.clients.get("pod-on-node1") as NetNamespace;
    const options = { dst: parseIp("10.96.0.1"), port: 80, owner: "client" };
    return TcpConnection.connect(pod, options) as TcpConnection;
  }
}

function web(...endpoints: string[]): KubeObject[] {
  return [WEB, slice("web", [{ port: 8080, protocol: "TCP" }], endpoints)];
}

describe("endpoints that go", () => {
  const [first = "", second = ""] = PODS;

  test("are deleted at once where they have no connection", () => {
    const lab = new Lab().apply(...web(first, second)).apply(...web(first));
    expect(lab.servers).toEqual(["10.244.1.10 1"]);
  });

  test("keep their connections with weight 0, and go when those are over", () => {
    const lab = new Lab().apply(...web(second));
    const connection = lab.open();
    lab.apply(...web(first));
    expect(lab.servers).toEqual(["10.244.1.10 1", "10.244.1.11 0"]);
    expect(connect(toWeb(), lab.network)).toBe("ok p1-10 8080 sees 10.244.1.50");
    // The first look, a minute after kube-proxy began, finds it open; data still comes through.
    lab.network.clock.advance(60_000);
    connection.send(10, undefined);
    expect(connection.acknowledged).toBe(10);
    expect(lab.servers).toContain("10.244.1.11 0");
    connection.close();
    // A closed connection is there for two minutes; looks come every minute.
    lab.network.clock.advance(119_000);
    expect(lab.servers).toContain("10.244.1.11 0");
    lab.network.clock.advance(61_000);
    expect(lab.servers).toEqual(["10.244.1.10 1"]);
  });

  test("and come back in the meantime have their old connections and get new ones", () => {
    const lab = new Lab().apply(...web(second));
    const connection = lab.open();
    lab.apply(...web()).apply(...web(second));
    expect(lab.servers).toEqual(["10.244.1.11 1"]);
    connection.send(10, undefined);
    expect(connection.acknowledged).toBe(10);
    lab.network.clock.advance(600_000);
    expect(lab.servers).toEqual(["10.244.1.11 1"]);
  });

  test("end with their Service", () => {
    const lab = new Lab().apply(...web(second));
    lab.open();
    lab.apply(...web()).apply();
    lab.network.clock.advance(120_000);
    expect(lab.services).toEqual([]);
  });

  test("of UDP go at once with their connections", () => {
    const udp = service("web", { clusterIP: "10.96.0.1", ports: [{ port: 80, protocol: "UDP" }] });
    const at = (...pods: string[]) => [udp, slice("web", [{ port: 8080, protocol: "UDP" }], pods)];
    const lab = new Lab().apply(...at(second));
    connect({ ...toWeb(), protocol: "UDP", tried: 1 }, lab.network);
    expect(lab.node.ipvs.connections.size).toBe(1);
    lab.apply(...at(first));
    lab.network.clock.advance(4);
    expect(lab.node.ipvs.connections.size).toBe(0);
    expect(lab.node.ipvs.save()).not.toContain("10.244.1.11");
  });
});

function toWeb() {
  return { protocol: "TCP", dest: "10.96.0.1:80", from: "pod-on-node1", tried: 3 } as const;
}

describe("addresses", () => {
  test("are on the device as long as a Service wants them", () => {
    const lab = new Lab().apply(WEB, DB);
    expect(canonicalAddrs(lab.node)).toBe("10.96.0.1/32\n10.96.0.2/32\n");
    expect(lab.set("KUBE-IPVS-IPS")).toEqual(["10.96.0.1", "10.96.0.2"]);
    lab.apply(DB);
    expect(canonicalAddrs(lab.node)).toBe("10.96.0.2/32\n");
    expect(lab.set("KUBE-CLUSTER-IP")).toEqual(["10.96.0.2,tcp:80"]);
    expect(lab.node.isLocalAddress(parseIp("10.96.0.1"))).toBe(false);
  });

  test("that two Services share stay until both are gone", () => {
    const shared = (name: string, clusterIP: string, port: number) =>
      service(name, { clusterIP, externalIPs: ["203.0.113.1"], ports: [{ port }] });
    const both = [shared("a", "10.96.0.1", 80), shared("b", "10.96.0.2", 81)];
    const lab = new Lab().apply(...both).apply(...both.slice(1));
    expect(canonicalAddrs(lab.node)).toBe("10.96.0.2/32\n203.0.113.1/32\n");
    expect(lab.services).toEqual(["-t 10.96.0.2:81 -s rr", "-t 203.0.113.1:81 -s rr"]);
  });

  test("of the node are not put there a second time", () => {
    const web = service("web", {
      clusterIP: "10.96.0.1",
      externalIPs: ["192.168.100.11"],
      ports: [{ port: 80 }],
    });
    const lab = new Lab().apply(web);
    expect(canonicalAddrs(lab.node)).toBe("10.96.0.1/32\n");
    expect(lab.services).toContain("-t 192.168.100.11:80 -s rr");
  });

  test("that the node gets later have node ports with the next periodic sync", () => {
    const nodePort = service("web", {
      type: "NodePort",
      clusterIP: "10.96.0.1",
      ports: [{ port: 80, nodePort: 30080 }],
    });
    const lab = new Lab().apply(nodePort);
    const late = new Dummy(lab.node, { name: "late" });
    late.setUp();
    late.addAddress(parseIp("172.16.0.1"), 24);
    expect(lab.services).not.toContain("-t 172.16.0.1:30080 -s rr");
    lab.network.clock.advance(30_000);
    expect(lab.services).toContain("-t 172.16.0.1:30080 -s rr");
  });
});

describe("virtual servers of others", () => {
  const foreign = "-A -t 10.9.9.9:80 -s rr\n";

  test("are deleted", () => {
    const lab = new Lab();
    lab.node.ipvs.restore(foreign);
    expect(lab.apply(WEB).services).toEqual(["-t 10.96.0.1:80 -s rr"]);
  });

  test("stay in ranges that are excluded", () => {
    const lab = new Lab({ ipvsExcludeCIDRs: ["10.9.0.0/16"] });
    lab.node.ipvs.restore(foreign);
    expect(lab.apply(WEB).services).toEqual(["-t 10.9.9.9:80 -s rr", "-t 10.96.0.1:80 -s rr"]);
  });
});

describe("settings", () => {
  test.each([
    ["ipvsScheduler lc", { ipvsScheduler: "lc" }, "-t 10.96.0.1:80 -s lc"],
    ["ipvsScheduler mh", { ipvsScheduler: "mh" }, "-t 10.96.0.1:80 -s mh -b mh-port"],
  ] as const)("%s", (_, settings, line) => {
    expect(new Lab(settings).apply(WEB).services).toEqual([line]);
  });

  test("a Service that gets session affinity keeps its real servers", () => {
    const sticky = service("web", { ...WEB.spec, sessionAffinity: "ClientIP" });
    const lab = new Lab().apply(...web(...PODS));
    const before = lab.servers;
    lab.apply(sticky, ...web(...PODS).slice(1));
    expect(lab.services).toEqual(["-t 10.96.0.1:80 -s rr -p 10800"]);
    expect(lab.servers).toEqual(before);
  });

  test("sysctls, with strict ARP those that keep the services' addresses from the link", () => {
    const values = (settings: Partial<KubeProxyConfig>) => {
      const { sysctl } = new Lab(settings).apply().node;
      return [
        "net/ipv4/vs/conntrack",
        "net/ipv4/vs/expire_nodest_conn",
        "net/ipv4/vs/expire_quiescent_template",
        "net/ipv4/conf/all/arp_ignore",
        "net/ipv4/conf/all/arp_announce",
      ].map((path) => sysctl.get(path));
    };
    expect(values({})).toEqual([1, 1, 1, 0, 0]);
    expect(values({ ipvsStrictARP: true })).toEqual([1, 1, 1, 1, 2]);
  });
});

test("a trace names the Service whose endpoint was chosen", () => {
  const lab = new Lab().apply(...web(...PODS));
  const found = lab.node.ipvs.findService({ protocol: 6, address: parseIp("10.96.0.1"), port: 80 });
  expect(found?.rule.origin).toEqual({ kind: "Service", namespace: "default", name: "web" });
});
