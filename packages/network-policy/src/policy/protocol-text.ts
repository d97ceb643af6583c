import { allPorts, type IpProtocol, PROTOCOLS, protocolName } from "./ip-protocol.ts";
import { rangeText } from "./range-text.ts";

/**
 * `TCP 80,8000-8999,http`, `ICMP type 8,type 3 code 4`, or the protocol alone where it has no ports and everything of it is meant.
 * @param ranges ends included; of ICMP as `icmpNumber` has them
 */
export function protocolText(
  protocol: IpProtocol,
  ranges: readonly (readonly [first: number, last: number])[],
  portNames: readonly string[] = [],
): string {
  const name = protocolName(protocol);
  const hasPorts = (PROTOCOLS as readonly IpProtocol[]).includes(protocol);
  const text = hasPorts ? rangeText : icmpText;
  const all = allPorts(protocol);
  if (!hasPorts && ranges.some(([first, last]) => first === all.first && last === all.last)) {
    return name;
  }
  const texts = [...ranges.map(([first, last]) => text(first, last)), ...portNames];
  return texts.length === 0 ? "" : `${name} ${texts.join(",")}`;
}

/** `type 8`, `types 0-7`, `type 3 code 4`; and `type 3 codes 2-255,types 4-5` where a type is cut. */
export function icmpText(first: number, last: number): string {
  const [type, end] = [first >> 8, last >> 8];
  const [code, endCode] = [first & 255, last & 255];
  if (code === 0 && endCode === 255)
    return `${type === end ? "type" : "types"} ${rangeText(type, end)}`;
  if (type === end)
    return `type ${type} ${code === endCode ? "code" : "codes"} ${rangeText(code, endCode)}`;
  const cut = code === 0 ? type : type + 1;
  const parts = code === 0 ? [] : [icmpText(first, cut * 256 - 1)];
  if (endCode === 255) return [...parts, icmpText(cut * 256, last)].join(",");
  if (cut < end) parts.push(icmpText(cut * 256, end * 256 - 1));
  return [...parts, icmpText(end * 256, last)].join(",");
}
