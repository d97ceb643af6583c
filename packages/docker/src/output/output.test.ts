import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { DockerHost } from "../docker-host.ts";
import { inspectContainer } from "./container-inspect.ts";
import { containerListText } from "./container-list.ts";
import { portText } from "./container-ports.ts";
import { inspectText } from "./docker-table.ts";
import { inspectNetwork } from "./network-inspect.ts";
import { networkListText } from "./network-list.ts";

const ip = (text: string): number => parseIp(text) as number;

function shop(): { docker: DockerHost; clock: VirtualClock } {
  const clock = new VirtualClock();
  const kernel = new Kernel(new Network(clock, new SeededRandom(1)), "box");
  kernel.initNs.loopback.setUp();
  const docker = new DockerHost(kernel);
  clock.advance(1500);
  docker.createNetwork({ name: "front", labels: { z: "1", a: "2" } });
  docker.createNetwork({
    name: "back2",
    internal: true,
    subnet: parsePrefix("10.1.0.0/16"),
    ipRange: parsePrefix("10.1.2.0/24"),
    gateway: ip("10.1.0.1"),
    options: { "com.docker.network.driver.mtu": "1400" },
  });
  docker.createNetwork({ name: "back10" });
  docker.run({
    name: "web",
    image: "nginx:1.29",
    command: ["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"],
    exposed: [{ protocol: "tcp", port: 443 }],
    network: [{ network: "front", aliases: ["www"], mac: 0x020000000011 }],
    ports: [
      { protocol: "tcp", port: 80, hostPorts: [8080, 8080] },
      { protocol: "udp", port: 53, hostIp: ip("127.0.0.1"), hostPorts: [53, 53] },
    ],
  });
  clock.advance(61_000);
  docker.run({
    name: "db",
    image: "postgres",
    network: [{ network: "back2", ip: ip("10.1.7.7") }],
    ports: [{ protocol: "tcp", port: 5432, hostPorts: [5432, 5432] }],
  });
  docker.create({ name: "later", image: "busybox", command: ["sleep", "1d"] });
  clock.advance(2000);
  return { docker, clock };
}

const short = (docker: DockerHost, name: string) => docker.container(name).shortId;

test("docker network ls", () => {
  const { docker } = shop();
  const id = (name: string) => docker.network(name).id.slice(0, 12);
  const { host, none } = docker.specialNetworkIds;
  expect(networkListText(docker)).toBe(`NETWORK ID     NAME      DRIVER    SCOPE
${id("back2")}   back2     bridge    local
${id("back10")}   back10    bridge    local
${id("bridge")}   bridge    bridge    local
${id("front")}   front     bridge    local
${host.slice(0, 12)}   host      host      local
${none.slice(0, 12)}   none      null      local
`);
  expect(networkListText(docker, { quiet: true, noTrunc: true }).split("\n")[4]).toBe(host);
});

test("docker ps", () => {
  const { docker } = shop();
  const [web, db, later] = ["web", "db", "later"].map((name) => short(docker, name));
  expect(
    containerListText(docker),
  ).toBe(`CONTAINER ID   IMAGE        COMMAND                  CREATED              STATUS              PORTS                                                                    NAMES
${db}   postgres     ""                       2 seconds ago        Up 2 seconds        5432/tcp                                                                 db
${web}   nginx:1.29   "/docker-entrypoint.…"   About a minute ago   Up About a minute   127.0.0.1:53->53/udp, 443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   web
`);
  docker.stop("db");
  const rows = containerListText(docker, { all: true }).split("\n");
  expect(rows[1]).toMatch(new RegExp(`^${later} .* Created  .* later$`));
  expect(rows[2]).toMatch(/ Exited \(0\) Less than a second ago {3,}db$/);
});

test("docker port", () => {
  const { docker } = shop();
  const web = docker.container("web");
  expect(portText(web)).toBe(`53/udp -> 127.0.0.1:53
80/tcp -> 0.0.0.0:8080
80/tcp -> [::]:8080
`);
  expect(portText(web, "80")).toBe("0.0.0.0:8080\n[::]:8080\n");
  expect(portText(web, "53/udp")).toBe("127.0.0.1:53\n");
  expect(() => portText(web, "53")).toThrow("no public port '53' published for web");
  expect(portText(docker.container("db"))).toBe("");
});

test("docker network inspect", () => {
  const { docker } = shop();
  const [front, web] = [docker.network("front"), docker.container("web")];
  expect(inspectText([inspectNetwork(docker, "front")])).toBe(`[
    {
        "Name": "front",
        "Id": "${front.id}",
        "Created": "2026-01-01T00:00:01.5Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [
                {
                    "Subnet": "172.18.0.0/16",
                    "Gateway": "172.18.0.1"
                }
            ]
        },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {
            "Network": ""
        },
        "ConfigOnly": false,
        "Options": {},
        "Labels": {
            "a": "2",
            "z": "1"
        },
        "Containers": {
            "${web.id}": {
                "Name": "web",
                "EndpointID": "${web.endpoints[0]?.id}",
                "MacAddress": "02:00:00:00:00:11",
                "IPv4Address": "172.18.0.2/16",
                "IPv6Address": ""
            }
        },
        "Status": {
            "IPAM": {
                "Subnets": {
                    "172.18.0.0/16": {
                        "IPsInUse": 4,
                        "DynamicIPsAvailable": 65532
                    }
                }
            }
        }
    }
]
`);
  expect(inspectNetwork(docker, "back2")).toMatchObject({
    Internal: true,
    IPAM: { Config: [{ Subnet: "10.1.0.0/16", IPRange: "10.1.2.0/24", Gateway: "10.1.0.1" }] },
    Options: { "com.docker.network.driver.mtu": "1400" },
    Status: { IPAM: { Subnets: { "10.1.0.0/16": { IPsInUse: 4, DynamicIPsAvailable: 256 } } } },
  });
  docker.run({ name: "on-host", image: "i", network: "host" });
  expect(inspectNetwork(docker, "host")).toMatchObject({
    Driver: "host",
    Containers: { [docker.container("on-host").id]: { Name: "on-host", IPv4Address: "" } },
  });
  expect(inspectNetwork(docker, "none")).toMatchObject({ Driver: "null", Containers: {} });
  expect(() => inspectNetwork(docker, "nothing")).toThrow("network nothing not found");
});

test("docker inspect", () => {
  const { docker } = shop();
  const web = docker.container("web");
  const settings = (name: string) =>
    (inspectContainer(docker, name) as { readonly NetworkSettings: object }).NetworkSettings;
  expect(JSON.stringify(settings("web"), null, 4)).toBe(`{
    "SandboxID": "${web.sandboxId}",
    "SandboxKey": "/var/run/docker/netns/${web.sandboxId.slice(0, 12)}",
    "Ports": {
        "443/tcp": null,
        "53/udp": [
            {
                "HostIp": "127.0.0.1",
                "HostPort": "53"
            }
        ],
        "80/tcp": [
            {
                "HostIp": "0.0.0.0",
                "HostPort": "8080"
            },
            {
                "HostIp": "::",
                "HostPort": "8080"
            }
        ]
    },
    "Networks": {
        "front": {
            "IPAMConfig": null,
            "Links": null,
            "Aliases": [
                "www"
            ],
            "DriverOpts": null,
            "GwPriority": 0,
            "NetworkID": "${docker.network("front").id}",
            "EndpointID": "${web.endpoints[0]?.id}",
            "Gateway": "172.18.0.1",
            "IPAddress": "172.18.0.2",
            "MacAddress": "02:00:00:00:00:11",
            "IPPrefixLen": 16,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "DNSNames": [
                "web",
                "www",
                "${web.shortId}"
            ]
        }
    }
}`);
  expect(inspectContainer(docker, "web")).toMatchObject({
    Path: "/docker-entrypoint.sh",
    Args: ["nginx", "-g", "daemon off;"],
    State: {
      Status: "running",
      StartedAt: "2026-01-01T00:00:01.5Z",
      FinishedAt: "0001-01-01T00:00:00Z",
    },
    Name: "/web",
    HostConfig: {
      NetworkMode: "front",
      PortBindings: {
        "80/tcp": [{ HostIp: "", HostPort: "8080" }],
        "53/udp": [{ HostIp: "127.0.0.1" }],
      },
    },
    Config: { ExposedPorts: { "443/tcp": {}, "53/udp": {}, "80/tcp": {} } },
  });
  // What is published of a container on an internal network is known, and closed.
  expect(settings("db")).toMatchObject({
    Ports: { "5432/tcp": null },
    Networks: { back2: { IPAMConfig: { IPv4Address: "10.1.7.7" }, Gateway: "" } },
  });
  docker.stop("web");
  expect(settings("web")).toMatchObject({
    SandboxID: "",
    SandboxKey: "",
    Ports: {},
    Networks: { front: { IPAddress: "", EndpointID: "", Aliases: ["www"] } },
  });
  docker.run({ name: "on-host", image: "i", network: "host" });
  expect(settings("on-host")).toMatchObject({
    SandboxKey: "/var/run/docker/netns/default",
    Networks: { host: { NetworkID: docker.specialNetworkIds.host, IPAddress: "" } },
  });
});
