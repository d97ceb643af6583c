import { formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import type { IpVsConn } from "../../../ipvs/ip-vs-conn.ts";
import type { ForwardingMethod } from "../../../ipvs/ip-vs-dest.ts";
import { directionOf, IP_CT_DIR_REPLY } from "../../conntrack-entry.ts";
import { serviceByName } from "../../service-names.ts";
import { type Match, type MatchExtension, not, type OptionValues } from "../extension.ts";
import { and, asPrefix, parseHost, parseProtocol, prefixMask } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const OPTIONS = [
  { name: "ipvs", args: 0, invertible: true },
  { name: "vproto", args: 1, invertible: true },
  { name: "vaddr", args: 1, invertible: true },
  { name: "vport", args: 1, invertible: true },
  { name: "vdir", args: 1 },
  { name: "vmethod", args: 1, invertible: true },
  { name: "vportctl", args: 1, invertible: true },
] as const;

/** What a packet's connection is asked. */
interface Test {
  readonly text: string;
  readonly inverted: boolean;
  holds(conn: IpVsConn, walk: Walk): boolean;
}

/** Whether IPVS has taken a packet, and for which service (net/netfilter/xt_ipvs.c). */
class IpvsMatch implements Match {
  readonly pure = true;
  readonly text: string;
  readonly #tests: readonly Test[];
  /** Asks for packets that IPVS has not taken. */
  readonly #wantsNone: boolean;

  constructor(tests: readonly Test[], wantsNone: boolean) {
    const words = tests.map(({ text, inverted }) => `${not(inverted)}--${text}`);
    if (words.length === 0) words.push(`${not(wantsNone)}--ipvs`);
    this.text = `-m ipvs ${words.join(" ")}`;
    this.#tests = tests;
    this.#wantsNone = wantsNone;
  }

  matches(walk: Walk): boolean {
    const { ipvsProperty } = walk.skb;
    if (this.#tests.length === 0) return ipvsProperty !== this.#wantsNone;
    if (!ipvsProperty) return false;
    const conn = connectionOf(walk);
    if (conn === undefined) return false;
    return this.#tests.every((test) => test.holds(conn, walk) !== test.inverted);
  }
}

/** The connection of a client's packet that is on its way to its server: answers have none here. */
function connectionOf({ packet, netns, srcPort, dstPort }: Walk): IpVsConn | undefined {
  const table = netns.findIpvs()?.connections;
  return table?.findOut(packet.protocol, packet.dst, dstPort, packet.src, srcPort);
}

function protocolTest(values: OptionValues): Omit<Test, "inverted"> {
  const protocol = parseProtocol(values.required("vproto"));
  return { text: `vproto ${protocol}`, holds: (conn) => conn.protocol === protocol };
}

function addressTest(values: OptionValues, family: IpFamily): Omit<Test, "inverted"> {
  const word = values.required("vaddr");
  const [host = "", length] = word.split("/");
  const address = parseHost(host, family);
  const bits = length === undefined ? undefined : parseUint(length, family === 4 ? 32 : 128);
  if (address === undefined || (length !== undefined && bits === undefined)) {
    throw values.badValue("vaddr", word);
  }
  const mask = prefixMask(family, bits ?? (family === 4 ? 32 : 128));
  const wanted = and(address, mask);
  return {
    // Without the mask where all bits count; the address is printed as it was given.
    text: `vaddr ${formatIp(address)}${maskText(mask)}`,
    holds: ({ vaddr }) => typeof vaddr === typeof wanted && and(vaddr, mask) === wanted,
  };
}

function maskText(mask: IpAddress): string {
  const length = asPrefix({ address: mask, mask })?.length;
  return length === (typeof mask === "number" ? 32 : 128) ? "" : `/${length}`;
}

function portTest(values: OptionValues): Omit<Test, "inverted"> {
  const port = values.parsed("vport", parsePort) as number;
  return { text: `vport ${port}`, holds: (conn) => conn.vport === port };
}

function directionTest(values: OptionValues): Omit<Test, "inverted"> {
  const word = values.required("vdir").toUpperCase();
  if (word !== "ORIGINAL" && word !== "REPLY")
    throw values.badValue("vdir", values.required("vdir"));
  return {
    text: `vdir ${word}`,
    holds: (_, { skb }) =>
      skb.ct !== undefined && (directionOf(skb.ctInfo) === IP_CT_DIR_REPLY) === (word === "REPLY"),
  };
}

/** Names of the forwarding methods; there are no tunnels to real servers here. */
const METHODS: Readonly<Record<string, ForwardingMethod | undefined>> = {
  GATE: "droute",
  IPIP: undefined,
  MASQ: "masq",
};

function methodTest(values: OptionValues): Omit<Test, "inverted"> {
  const word = values.required("vmethod").toUpperCase();
  if (!Object.hasOwn(METHODS, word)) throw values.badValue("vmethod", values.required("vmethod"));
  const method = METHODS[word];
  return { text: `vmethod ${word}`, holds: (conn) => conn.forwarding === method };
}

/** The port of the service by whose template the connection was made, as FTP's data connections are. */
function controlPortTest(values: OptionValues): Omit<Test, "inverted"> {
  const port = values.parsed("vportctl", parsePort) as number;
  return { text: `vportctl ${port}`, holds: (conn) => conn.control?.vport === port };
}

/** The tool looks at 16 bits of a number, however large. */
function parsePort(text: string): number | undefined {
  const port = parseUint(text) ?? serviceByName(text);
  return port === undefined ? undefined : port & 0xffff;
}

const TESTS: Readonly<
  Record<string, (values: OptionValues, family: IpFamily) => Omit<Test, "inverted">>
> = {
  vproto: protocolTest,
  vaddr: addressTest,
  vport: portTest,
  vdir: directionTest,
  vmethod: methodTest,
  vportctl: controlPortTest,
};

export const ipvs: MatchExtension = {
  names: ["ipvs"],
  options: OPTIONS,
  parse(values, { family }) {
    const given = OPTIONS.filter(({ name }) => values.has(name));
    if (given.length === 0) throw parameterProblem("IPVS: At least one option is required");
    const wantsNone = values.isInverted("ipvs");
    if (wantsNone && given.length > 1) {
      throw parameterProblem("! --ipvs cannot be together with other options");
    }
    const tests = given.flatMap(({ name }) => {
      const test = TESTS[name]?.(values, family);
      return test === undefined ? [] : [{ ...test, inverted: values.isInverted(name) }];
    });
    return new IpvsMatch(tests, wantsNone);
  },
};
