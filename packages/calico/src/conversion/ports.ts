import type { Port } from "../api/v3/rule.ts";
import type { PortRange } from "../calc/messages.ts";

/** A port that was read: a range, or a name (`api/pkg/lib/numorstring/port.go`). */
export type ParsedPort = PortRange | { readonly name: string };

const NUMBER = /^\d+$/;
const RANGE = /^(\d+):(\d+)$/;
const NAME = /^[a-zA-Z0-9_.-]{1,128}$/;
const MAX_PORT = 65535;

/** Reads `80`, `80:90` or a name. @throws RangeError with Calico's words */
export function parsePort(port: Port): ParsedPort {
  const text = String(port);
  if (NUMBER.test(text)) {
    if (Number(text) > MAX_PORT) throw new RangeError(`invalid port format (${text})`);
    return { first: Number(text), last: Number(text) };
  }
  const [, first, last] = RANGE.exec(text) ?? [];
  if (first === undefined || last === undefined) return namedPort(text);
  if (Number(first) > MAX_PORT)
    throw new RangeError(`invalid minimum port number in range (${text})`);
  if (Number(last) > MAX_PORT)
    throw new RangeError(`invalid maximum port number in range (${text})`);
  return portRange(Number(first), Number(last));
}

/** @throws RangeError where it is none */
export function portRange(first: number, last: number): PortRange {
  if (first > last) {
    throw new RangeError(
      `minimum port number (${first}) is greater than maximum port number (${last}) in port range`,
    );
  }
  return { first, last };
}

/** @throws RangeError where no port can be called so */
export function namedPort(name: string): ParsedPort {
  if (!NAME.test(name)) throw new RangeError(`invalid name for named port (${name})`);
  return { name };
}

/** A port as v3 objects have it. */
export function formatPort(port: ParsedPort): Port {
  if ("name" in port) return port.name;
  return port.first === port.last ? port.first : `${port.first}:${port.last}`;
}

/**
 * The same ports as names, in their order, and then as few ranges as may be (`libcalico-go/lib/backend/k8s/conversion/conversion.go` SimplifyPorts).
 * What has no two numbers to put together is left as it is.
 */
export function simplifyPorts(ports: readonly ParsedPort[]): readonly ParsedPort[] {
  const numeric = ports.filter((port): port is PortRange => !("name" in port));
  const numbers = numeric.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  if (ports.length <= 1 || numbers <= 1) return ports;
  const ranges: PortRange[] = [];
  for (const { first, last } of numeric.toSorted((x, y) => x.first - y.first)) {
    const before = ranges.at(-1);
    if (before !== undefined && first <= before.last + 1) {
      ranges[ranges.length - 1] = { first: before.first, last: Math.max(before.last, last) };
    } else {
      ranges.push({ first, last });
    }
  }
  return [...ports.filter((port) => "name" in port), ...ranges];
}
