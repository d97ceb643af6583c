import { compareIp, formatEndpoint, formatIp, type IpAddress } from "@cnilab/net";
import type { Container } from "../container.ts";
import { DockerError } from "../docker-error.ts";
import { byNaturalOrder } from "./natural-less.ts";

/** A port of a container in listings; one that is known but not published has no host's. */
export interface PortSummary {
  readonly hostIp?: IpAddress;
  readonly hostPort?: number;
  readonly port: number;
  readonly protocol: string;
}

/** A container's ports with where they are published, as the API has them: keys as `80/tcp` (daemon/network.go `getPortMapInfo`). */
export function portMap(container: Container): ReadonlyMap<string, readonly PortSummary[]> {
  const ports = new Map<string, PortSummary[]>();
  if (container.endpoints.length === 0) return ports;
  const { exposed = [] } = container.spec;
  for (const { port, protocol } of [...exposed, ...container.published]) {
    ports.set(`${port}/${protocol}`, []);
  }
  for (const { port, protocol, hostIp, hostPort } of container.portMappings) {
    ports.get(`${port}/${protocol}`)?.push({ hostIp, hostPort, port, protocol });
  }
  return ports;
}

/** The column PORTS of `docker ps`. */
export function portsColumn(container: Container): string {
  const ports = [...portMap(container)].flatMap(([key, bindings]) => {
    const [port = "", protocol = ""] = key.split("/");
    if (bindings.length === 0) return [{ port: Number(port), protocol }];
    // What is open for those with a route has no port of the host.
    return bindings.filter(({ hostPort }) => hostPort !== 0);
  });
  return displayablePorts(ports);
}

/** Ports that are the same on both sides are put together to ranges (docker/cli formatter `DisplayablePorts`). */
export function displayablePorts(ports: readonly PortSummary[]): string {
  const groups = new Map<string, { readonly first: PortSummary; last: number }>();
  const closed: string[] = [];
  const translated: string[] = [];
  for (const summary of [...ports].sort(byPort)) {
    const { hostIp, hostPort, port, protocol } = summary;
    if (hostIp !== undefined && hostPort !== port) {
      translated.push(`${formatEndpoint(hostIp, hostPort ?? 0)}->${port}/${protocol}`);
      continue;
    }
    const key = `${hostIp === undefined ? "" : formatIp(hostIp)}/${protocol}`;
    const group = groups.get(key);
    if (group !== undefined && port === group.last + 1) {
      group.last = port;
      continue;
    }
    if (group !== undefined) closed.push(groupText(group.first, group.last));
    // A group that begins anew keeps the place of that before it.
    groups.set(key, { first: summary, last: port });
  }
  const open = [...groups.values()].map(({ first, last }) => groupText(first, last));
  return [...closed, ...open, ...translated].join(", ");
}

/**
 * `docker port CONTAINER [PORT[/PROTOCOL]]`.
 * @throws DockerError where that port is not published
 */
export function portText(container: Container, port?: string): string {
  const ports = portMap(container);
  const lines: string[] = [];
  if (port === undefined) {
    for (const [key, bindings] of ports) {
      lines.push(...bindings.map((binding) => `${key} -> ${frontend(binding)}`));
    }
  } else {
    const bindings = ports.get(port.includes("/") ? port.toLowerCase() : `${port}/tcp`) ?? [];
    if (bindings.length === 0) {
      throw new DockerError(`no public port '${port}' published for ${container.name}`);
    }
    lines.push(...bindings.map(frontend));
  }
  return lines
    .sort(byNaturalOrder)
    .map((line) => `${line}\n`)
    .join("");
}

/** A port of 0 is empty there. */
function frontend({ hostIp = 0, hostPort = 0 }: PortSummary): string {
  return formatEndpoint(hostIp, hostPort).replace(/:0$/, ":");
}

function groupText({ hostIp, port, protocol }: PortSummary, last: number): string {
  const range = port === last ? `${port}` : `${port}-${last}`;
  if (hostIp === undefined) return `${range}/${protocol}`;
  const host = formatEndpoint(hostIp, 0).replace(/0$/, range);
  return `${host}->${range}/${protocol}`;
}

function byPort(x: PortSummary, y: PortSummary): number {
  return (
    x.port - y.port ||
    byAddress(x.hostIp, y.hostIp) ||
    (x.hostPort ?? 0) - (y.hostPort ?? 0) ||
    (x.protocol < y.protocol ? -1 : 1)
  );
}

/** Go's netip.Addr.Less: none before IPv4 before IPv6. */
function byAddress(x: IpAddress | undefined, y: IpAddress | undefined): number {
  if (x === undefined || y === undefined) return Number(x !== undefined) - Number(y !== undefined);
  return compareIp(x, y);
}
