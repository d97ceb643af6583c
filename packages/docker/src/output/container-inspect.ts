import { formatIp, formatMac } from "@cnilab/net";
import type { ConnectSpec, Container } from "../container.ts";
import type { DockerHost } from "../docker-host.ts";
import { portMap } from "./container-ports.ts";
import { sortedByKey } from "./docker-table.ts";
import { goTime } from "./go-time.ts";

const CONTAINERS = "/var/lib/docker/containers";
const NAMESPACES = "/var/run/docker/netns";

/**
 * A container as `docker inspect` shows it: what its network has to do with, fields in the API's order (api/types/container
 * `InspectResponse`). What has nothing to do with it (mounts, resources, …) is left out.
 */
export function inspectContainer(docker: DockerHost, name: string): object {
  const container = docker.container(name);
  const { id, spec, state, isRunning, createdAt, startedAt, finishedAt } = container;
  const [path = "", ...args] = spec.command ?? [];
  return {
    Id: id,
    Created: goTime(createdAt),
    Path: path,
    Args: args,
    State: {
      Status: state,
      Running: isRunning,
      Paused: false,
      Restarting: false,
      OOMKilled: false,
      Dead: false,
      ExitCode: 0,
      Error: "",
      StartedAt: goTime(startedAt),
      FinishedAt: goTime(finishedAt),
    },
    ...filePaths(docker, container),
    Name: `/${container.name}`,
    RestartCount: 0,
    Platform: "linux",
    HostConfig: hostConfig(docker, container),
    Config: {
      Hostname: container.hostname,
      Domainname: spec.domainname ?? "",
      ...exposedPorts(container),
      Cmd: spec.command ?? null,
      Image: spec.image,
      Labels: sortedByKey(Object.entries(spec.labels ?? {})),
    },
    NetworkSettings: networkSettings(docker, container),
  };
}

/** NetworkSettings of `docker inspect` alone. */
export function networkSettings(docker: DockerHost, container: Container): object {
  const { mode, sandboxId } = container;
  const ports = [...portMap(container)].map(
    ([key, bindings]) => [key, bindings.length === 0 ? null : bindings.map(bindingOf)] as const,
  );
  const sandbox = mode === "host" ? "default" : sandboxId.slice(0, 12);
  const networks: [string, object][] = [];
  if (mode === "host" || mode === "none") {
    const networkId = container.isRunning ? docker.specialNetworkIds[mode] : "";
    networks.push([
      mode,
      { ...NO_ENDPOINT, NetworkID: networkId, EndpointID: container.endpointId },
    ]);
  }
  for (const [name, join] of container.joins) {
    networks.push([name, endpointSettings(docker, container, name, join)]);
  }
  return {
    SandboxID: sandboxId,
    SandboxKey: sandboxId === "" ? "" : `${NAMESPACES}/${sandbox}`,
    Ports: sortedByKey(ports),
    Networks: sortedByKey(networks),
  };
}

/** Go's zero values, in the API's order (api/types/network `EndpointSettings`). */
const NO_ENDPOINT = {
  IPAMConfig: null as object | null,
  Links: null as readonly string[] | null,
  Aliases: null as readonly string[] | null,
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  MacAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null as readonly string[] | null,
};

function endpointSettings(
  docker: DockerHost,
  container: Container,
  name: string,
  { ip, ip6, aliases, links, gatewayPriority = 0 }: ConnectSpec,
): object {
  const asked = {
    ...NO_ENDPOINT,
    IPAMConfig:
      (ip ?? ip6) === undefined
        ? null
        : {
            ...(ip === undefined ? {} : { IPv4Address: formatIp(ip) }),
            ...(ip6 === undefined ? {} : { IPv6Address: formatIp(ip6) }),
          },
    Links: links === undefined ? null : links.map((link) => `${link.container}:${link.alias}`),
    Aliases: aliases ?? null,
    GwPriority: gatewayPriority,
  };
  const network = docker.networks.get(name);
  const endpoint = network === undefined ? undefined : container.endpointIn(network);
  if (network === undefined || endpoint === undefined) return asked;
  return {
    ...asked,
    NetworkID: network.id,
    EndpointID: endpoint.id,
    Gateway: network.internal || network.gateway === undefined ? "" : formatIp(network.gateway),
    IPAddress: formatIp(endpoint.address),
    MacAddress: formatMac(endpoint.mac),
    IPPrefixLen: network.subnet.length,
    ...(endpoint.address6 !== undefined && {
      IPv6Gateway:
        network.internal || network.gateway6 === undefined ? "" : formatIp(network.gateway6),
      GlobalIPv6Address: formatIp(endpoint.address6),
      GlobalIPv6PrefixLen: network.subnet6?.length ?? 0,
    }),
    DNSNames: network.isUserDefined ? endpoint.dnsNames : null,
  };
}

function bindingOf({
  hostIp = 0,
  hostPort = 0,
}: {
  hostIp?: Parameters<typeof formatIp>[0];
  hostPort?: number;
}): object {
  return { HostIp: formatIp(hostIp), HostPort: hostPort === 0 ? "" : String(hostPort) };
}

/** Those of another container where its network is shared (daemon/container_operations_unix.go `initializeNetworkingPaths`). */
function filePaths(docker: DockerHost, { id, mode }: Container): object {
  const owner = typeof mode === "object" ? docker.containers.get(mode.container)?.id : id;
  return {
    ResolvConfPath: `${CONTAINERS}/${owner}/resolv.conf`,
    HostnamePath: `${CONTAINERS}/${owner}/hostname`,
    HostsPath: `${CONTAINERS}/${owner}/hosts`,
  };
}

function hostConfig(docker: DockerHost, container: Container): object {
  const { spec, mode, joins } = container;
  const bindings = new Map<string, object[]>();
  for (const { port, protocol, hostIp, hostPorts } of container.published) {
    const key = `${port}/${protocol}`;
    const [first, last] = hostPorts ?? [0, 0];
    const range = first === last ? `${first || ""}` : `${first}-${last}`;
    const binding = { HostIp: hostIp === undefined ? "" : formatIp(hostIp), HostPort: range };
    bindings.set(key, [...(bindings.get(key) ?? []), binding]);
  }
  return {
    NetworkMode: networkMode(docker, mode, joins),
    PortBindings: sortedByKey(bindings),
    Dns: (spec.dns ?? []).map(formatIp),
    DnsOptions: spec.dnsOptions ?? [],
    DnsSearch: spec.dnsSearch ?? [],
    ExtraHosts: spec.extraHosts ?? null,
  };
}

/** The first network, or whose stack it is. */
function networkMode(
  docker: DockerHost,
  mode: Container["mode"],
  joins: ReadonlyMap<string, ConnectSpec>,
): string {
  if (typeof mode === "object") {
    return `container:${docker.containers.get(mode.container)?.id ?? mode.container}`;
  }
  if (mode !== "own") return mode;
  return [...joins.keys()][0] ?? "default";
}

function exposedPorts({ spec, published }: Container): object {
  const keys = [...(spec.exposed ?? []), ...published].map((p) => `${p.port}/${p.protocol}`);
  if (keys.length === 0) return {};
  return { ExposedPorts: sortedByKey(keys.map((key) => [key, {}] as const)) };
}
