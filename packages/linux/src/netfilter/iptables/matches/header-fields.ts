import { formatMac, type IpFamily, TcpSegment, tryParseMac } from "@cnilab/net";
import { PACKET_BROADCAST, PACKET_HOST, PACKET_MULTICAST } from "../../../skb.ts";
import { type Match, type MatchExtension, not } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { formatRange, hex, parseMasked, parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** A match that reads one field of the packet. */
class FieldMatch implements Match {
  readonly pure = true;
  readonly text: string;
  readonly #inverted: boolean;
  readonly #holds: (walk: Walk) => boolean | undefined;

  /** @param holds `undefined` where the packet has no such field, so that even the inverted match fails */
  constructor(
    name: string,
    option: string,
    inverted: boolean,
    holds: (walk: Walk) => boolean | undefined,
  ) {
    this.text = `-m ${name} ${not(inverted)}--${option}`;
    this.#inverted = inverted;
    this.#holds = holds;
  }

  matches(walk: Walk): boolean {
    const holds = this.#holds(walk);
    return holds !== undefined && holds !== this.#inverted;
  }
}

function parseRange(text: string): Range | undefined {
  const [low = "", high] = text.split(":", 2);
  const min = low === "" && high !== undefined ? 0 : parseUint(low, 0xffff);
  const max = high === undefined ? min : high === "" ? 0xffff : parseUint(high, 0xffff);
  return min === undefined || max === undefined || min > max ? undefined : { min, max };
}

/** Bytes of the IP packet, header included. */
export const length: MatchExtension = {
  names: ["length"],
  options: [{ name: "length", args: 1, invertible: true }],
  parse(values) {
    values.required("length");
    const { min, max } = values.parsed("length", parseRange) as Range;
    const holds = ({ packet }: Walk) => packet.length >= min && packet.length <= max;
    return new FieldMatch(
      "length",
      `length ${formatRange({ min, max })}`,
      values.isInverted("length"),
      holds,
    );
  },
};

/** Time to live and hop limit, which differ in their names only. */
function ttlExtension(name: "ttl" | "hl", family: IpFamily): MatchExtension {
  const [eq, lt, gt] = [`${name}-eq`, `${name}-lt`, `${name}-gt`] as const;
  return {
    names: [name],
    family,
    options: [
      { name: eq, aliases: [name], args: 1, invertible: true },
      { name: lt, args: 1 },
      { name: gt, args: 1 },
    ],
    parse(values) {
      const option = [eq, lt, gt].find((o) => values.has(o));
      if (option === undefined)
        throw parameterProblem(`${name.toUpperCase()}: You must specify an operation`);
      const value = values.parsed(option, (word) => parseUint(word, 255)) as number;
      const holds = ({ packet }: Walk) =>
        option === eq
          ? packet.ttl === value
          : option === lt
            ? packet.ttl < value
            : packet.ttl > value;
      return new FieldMatch(name, `${option} ${value}`, values.isInverted(option), holds);
    },
  };
}

export const ttl: MatchExtension = ttlExtension("ttl", 4);
export const hl: MatchExtension = ttlExtension("hl", 6);

const PACKET_TYPES: Readonly<Record<string, number>> = {
  unicast: PACKET_HOST,
  host: PACKET_HOST,
  broadcast: PACKET_BROADCAST,
  bcast: PACKET_BROADCAST,
  multicast: PACKET_MULTICAST,
  mcast: PACKET_MULTICAST,
};
const PACKET_TYPE_NAMES = ["unicast", "broadcast", "multicast"];

/** For whom the frame was. */
export const pkttype: MatchExtension = {
  names: ["pkttype"],
  options: [{ name: "pkt-type", args: 1, invertible: true }],
  parse(values) {
    const word = values.required("pkt-type").toLowerCase();
    const type = Object.hasOwn(PACKET_TYPES, word) ? PACKET_TYPES[word] : undefined;
    if (type === undefined) throw parameterProblem(`Bad packet type '${word}'`);
    const inverted = values.isInverted("pkt-type");
    return new FieldMatch(
      "pkttype",
      `pkt-type ${PACKET_TYPE_NAMES[type]}`,
      inverted,
      ({ skb }) => skb.packetType === type,
    );
  },
};

/** Source MAC of a packet that came in by Ethernet. */
export const mac: MatchExtension = {
  names: ["mac"],
  options: [{ name: "mac-source", args: 1, invertible: true }],
  parse(values) {
    values.required("mac-source");
    const wanted = values.parsed("mac-source", tryParseMac) as number;
    const holds = ({ state, skb }: Walk) =>
      state.in?.isEthernet ? skb.srcMac === wanted : undefined;
    return new FieldMatch(
      "mac",
      `mac-source ${formatMac(wanted)}`,
      values.isInverted("mac-source"),
      holds,
    );
  },
};

/** The maximum segment size that a SYN offers. */
export const tcpmss: MatchExtension = {
  names: ["tcpmss"],
  options: [{ name: "mss", args: 1, invertible: true }],
  parse(values) {
    values.required("mss");
    const { min, max } = values.parsed("mss", parseRange) as Range;
    // A segment without the option fails an inverted match only by its inversion (tcpmss_mt).
    const holds = ({ transport }: Walk) => {
      if (!(transport instanceof TcpSegment)) return undefined;
      return transport.mss > 0 && transport.mss >= min && transport.mss <= max;
    };
    return new FieldMatch(
      "tcpmss",
      `mss ${formatRange({ min, max })}`,
      values.isInverted("mss"),
      holds,
    );
  },
};

/** Differentiated services code points by name (`ds_classes`, extensions/dscp_helper.c). */
const DSCP_CLASSES: Readonly<Record<string, number>> = {
  CS0: 0x00,
  CS1: 0x08,
  CS2: 0x10,
  CS3: 0x18,
  CS4: 0x20,
  CS5: 0x28,
  CS6: 0x30,
  CS7: 0x38,
  BE: 0x00,
  AF11: 0x0a,
  AF12: 0x0c,
  AF13: 0x0e,
  AF21: 0x12,
  AF22: 0x14,
  AF23: 0x16,
  AF31: 0x1a,
  AF32: 0x1c,
  AF33: 0x1e,
  AF41: 0x22,
  AF42: 0x24,
  AF43: 0x26,
  EF: 0x2e,
};

/** A code point by number or by the name of its class. @throws Complaint */
export function parseDscp(word: string | undefined, className: string | undefined): number {
  if (className !== undefined) {
    const value = DSCP_CLASSES[className.toUpperCase()];
    if (value === undefined) throw parameterProblem(`Invalid DSCP value \`${className}'`);
    return value;
  }
  const value = word === undefined ? undefined : parseUint(word, 63);
  if (value === undefined) throw parameterProblem("DSCP match: Parameter --dscp is required");
  return value;
}

export function formatDscp(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}

export const dscp: MatchExtension = {
  names: ["dscp"],
  options: [
    { name: "dscp", args: 1, invertible: true },
    { name: "dscp-class", args: 1, invertible: true },
  ],
  parse(values) {
    const wanted = parseDscp(values.word("dscp"), values.word("dscp-class"));
    const inverted = values.isInverted("dscp") || values.isInverted("dscp-class");
    return new FieldMatch(
      "dscp",
      `dscp ${formatDscp(wanted)}`,
      inverted,
      ({ packet }) => packet.tos >> 2 === wanted,
    );
  },
};

/** `Minimize-Delay` and the others (RFC 1349); their mask leaves the ECN bits out. */
const TOS_NAMES: Readonly<Record<string, number>> = {
  "minimize-delay": 0x10,
  "maximize-throughput": 0x08,
  "maximize-reliability": 0x04,
  "minimize-cost": 0x02,
  "normal-service": 0x00,
};

export const tos: MatchExtension = {
  names: ["tos"],
  options: [{ name: "tos", args: 1, invertible: true }],
  parse(values) {
    const word = values.required("tos").toLowerCase();
    const named = Object.hasOwn(TOS_NAMES, word) ? TOS_NAMES[word] : undefined;
    const given = named === undefined ? parseMasked(word) : { value: named, mask: 0x3f };
    if (given === undefined || given.value > 255) throw values.badValue("tos", word);
    const { value } = given;
    const mask = given.mask & 0xff;
    const holds = ({ packet }: Walk) => (packet.tos & mask) === value;
    return new FieldMatch("tos", `tos ${tosText(value, mask)}`, values.isInverted("tos"), holds);
  },
};

/** `0x10/0xff` */
export function tosText(value: number, mask: number): string {
  return `0x${value.toString(16).padStart(2, "0")}/${hex(mask)}`;
}
