import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { PortRange } from "../port-allocator.ts";

/** A port of a container, published on the host or not. */
export interface ServicePort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
}

/** What `ports` says of one port of a container. */
export interface PublishedServicePort extends ServicePort {
  /** `undefined` for all addresses. */
  readonly hostIp: IpAddress | undefined;
  /** `undefined` where the daemon chooses one. */
  readonly hostPorts: PortRange | undefined;
}

/** What is wrong with a port, and how to mend it. */
export class PortSyntaxError extends Error {
  override readonly name = "PortSyntaxError";
}

const PROTOCOLS: readonly string[] = ["tcp", "udp", "sctp"];
/** More would be a mistake; each has a rule and a socket of its own. */
const MOST_PORTS = 4096;

/**
 * The short syntax, `[[HOST_IP:]HOST_PORT:]PORT[/PROTOCOL]`, with ranges (go-connections nat/nat.go `ParsePortSpec`).
 * @throws PortSyntaxError
 */
export function parsePublishedPort(text: string): PublishedServicePort[] {
  const [, hostIp, host, rest = ""] = splitParts(text);
  const { protocol, range } = parseContainerPort(rest, text);
  const [first, last] = range;
  if (last - first >= MOST_PORTS)
    throw new PortSyntaxError(`"${text}" is more than ${MOST_PORTS} ports`);
  const hostRange = host === undefined || host === "" ? undefined : parseRange(host, text, 1);
  if (hostRange !== undefined && hostRange[1] - hostRange[0] !== last - first && first !== last) {
    throw new PortSyntaxError(
      `"${text}": the range of the host (${host}) must be as long as that of the container, or the container's be one port`,
    );
  }
  const address = hostIp === undefined || hostIp === "" ? undefined : parseHostIp(hostIp);
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    protocol,
    port: first + i,
    hostIp: address,
    hostPorts: hostPortsOf(hostRange, first === last, i),
  }));
}

/** A single port takes what is free of the host's range; a range goes one to one. */
function hostPortsOf(
  range: PortRange | undefined,
  single: boolean,
  i: number,
): PortRange | undefined {
  if (range === undefined || single) return range;
  return [range[0] + i, range[0] + i];
}

/** `PORT[-PORT][/PROTOCOL]`, of `expose`. @throws PortSyntaxError */
export function parseExposedPorts(text: string): ServicePort[] {
  const { protocol, range } = parseContainerPort(text, text);
  const [first, last] = range;
  if (last - first >= MOST_PORTS)
    throw new PortSyntaxError(`"${text}" is more than ${MOST_PORTS} ports`);
  return Array.from({ length: last - first + 1 }, (_, i) => ({ protocol, port: first + i }));
}

/** @throws PortSyntaxError */
export function parseHostIp(text: string): IpAddress {
  const address = tryParseIp(text.replace(/^\[(.*)\]$/, "$1"));
  if (address === undefined) {
    throw new PortSyntaxError(`"${text}" is no address of a host; write one such as 127.0.0.1`);
  }
  return address;
}

/** `undefined` for what is no protocol. */
export function parseProtocol(text: string): ServicePort["protocol"] | undefined {
  const protocol = text.toLowerCase();
  return PROTOCOLS.includes(protocol) ? (protocol as ServicePort["protocol"]) : undefined;
}

/** @throws PortSyntaxError */
export function parseHostPorts(text: string): PortRange | undefined {
  return text === "" ? undefined : parseRange(text, text, 1);
}

function splitParts(text: string): readonly (string | undefined)[] {
  const parts = text.split(":");
  const [port, host] = [parts.at(-1), parts.at(-2)];
  return [text, parts.length < 3 ? undefined : parts.slice(0, -2).join(":"), host, port];
}

function parseContainerPort(
  text: string,
  whole: string,
): { readonly protocol: ServicePort["protocol"]; readonly range: PortRange } {
  const [port = "", name = "tcp"] = text.split("/", 2);
  const protocol = parseProtocol(name);
  if (protocol === undefined || text.split("/").length > 2) {
    throw new PortSyntaxError(`"${whole}": the protocol must be tcp, udp or sctp, as in 53:53/udp`);
  }
  return { protocol, range: parseRange(port, whole, 1) };
}

function parseRange(text: string, whole: string, least: number): PortRange {
  const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(found?.[1]);
  const last = Number(found?.[2] ?? found?.[1]);
  if (found !== null && first >= least && last <= 65_535 && first <= last) return [first, last];
  throw new PortSyntaxError(
    `"${whole}" is no port: write PORT, HOST:PORT or IP:HOST:PORT with numbers from 1 to 65535, as 8080:80`,
  );
}
