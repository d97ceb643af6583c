import type { IpFamily } from "@cnilab/net";
import { icmpTypeAndCode } from "../../transport-header.ts";
import { type Match, type MatchExtension, not } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** A type and the codes of it that count. */
interface IcmpType {
  readonly type: number;
  readonly codeMin: number;
  readonly codeMax: number;
}

/** 0xFF stands for every type (`icmp_match`, extensions/libxt_icmp.h). */
const ANY = 0xff;

function type(number: number): IcmpType {
  return { type: number, codeMin: 0, codeMax: 0xff };
}

function code(number: number, only: number): IcmpType {
  return { type: number, codeMin: only, codeMax: only };
}

const ICMP_TYPES: Readonly<Record<string, IcmpType>> = {
  any: type(ANY),
  "echo-reply": type(0),
  pong: type(0),
  "destination-unreachable": type(3),
  "network-unreachable": code(3, 0),
  "host-unreachable": code(3, 1),
  "protocol-unreachable": code(3, 2),
  "port-unreachable": code(3, 3),
  "fragmentation-needed": code(3, 4),
  "source-route-failed": code(3, 5),
  "network-unknown": code(3, 6),
  "host-unknown": code(3, 7),
  "network-prohibited": code(3, 9),
  "host-prohibited": code(3, 10),
  "TOS-network-unreachable": code(3, 11),
  "TOS-host-unreachable": code(3, 12),
  "communication-prohibited": code(3, 13),
  "host-precedence-violation": code(3, 14),
  "precedence-cutoff": code(3, 15),
  "source-quench": type(4),
  redirect: type(5),
  "network-redirect": code(5, 0),
  "host-redirect": code(5, 1),
  "TOS-network-redirect": code(5, 2),
  "TOS-host-redirect": code(5, 3),
  "echo-request": type(8),
  ping: type(8),
  "router-advertisement": type(9),
  "router-solicitation": type(10),
  "time-exceeded": type(11),
  "ttl-exceeded": type(11),
  "ttl-zero-during-transit": code(11, 0),
  "ttl-zero-during-reassembly": code(11, 1),
  "parameter-problem": type(12),
  "ip-header-bad": code(12, 0),
  "required-option-missing": code(12, 1),
  "timestamp-request": type(13),
  "timestamp-reply": type(14),
  "address-mask-request": type(17),
  "address-mask-reply": type(18),
};

const ICMPV6_TYPES: Readonly<Record<string, IcmpType>> = {
  "destination-unreachable": type(1),
  "no-route": code(1, 0),
  "communication-prohibited": code(1, 1),
  "beyond-scope": code(1, 2),
  "address-unreachable": code(1, 3),
  "port-unreachable": code(1, 4),
  "failed-policy": code(1, 5),
  "reject-route": code(1, 6),
  "packet-too-big": type(2),
  "time-exceeded": type(3),
  "ttl-exceeded": type(3),
  "ttl-zero-during-transit": code(3, 0),
  "ttl-zero-during-reassembly": code(3, 1),
  "parameter-problem": type(4),
  "bad-header": code(4, 0),
  "unknown-header-type": code(4, 1),
  "unknown-option": code(4, 2),
  "echo-request": type(128),
  ping: type(128),
  "echo-reply": type(129),
  pong: type(129),
  "mld-listener-query": type(130),
  "mld-listener-report": type(131),
  "mld-listener-done": type(132),
  "mld-listener-reduction": type(132),
  "router-solicitation": type(133),
  "router-advertisement": type(134),
  "neighbour-solicitation": type(135),
  "neighbor-solicitation": type(135),
  "neighbour-advertisement": type(136),
  "neighbor-advertisement": type(136),
  redirect: type(137),
};

class IcmpTypeMatch implements Match {
  readonly pure = true;
  readonly #family: IpFamily;
  readonly #type: IcmpType;
  readonly #inverted: boolean;

  constructor(family: IpFamily, icmpType: IcmpType, inverted: boolean) {
    this.#family = family;
    this.#type = icmpType;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    const typeAndCode = icmpTypeAndCode(walk.transport);
    if (typeAndCode < 0) return false;
    const { type, codeMin, codeMax } = this.#type;
    const packetCode = typeAndCode & 0xff;
    const any = type === ANY && this.#family === 4;
    const equal =
      any || (typeAndCode >> 8 === type && packetCode >= codeMin && packetCode <= codeMax);
    return equal !== this.#inverted;
  }

  get text(): string {
    const name = this.#family === 4 ? "-m icmp" : "-m icmp6";
    const option = this.#family === 4 ? "--icmp-type" : "--icmpv6-type";
    return `${name} ${not(this.#inverted)}${option} ${this.#format()}`;
  }

  #format(): string {
    const { type, codeMin, codeMax } = this.#type;
    if (type === ANY && this.#family === 4) return "any";
    return codeMin === 0 && codeMax === 0xff ? String(type) : `${type}/${codeMin}`;
  }
}

function parseIcmpType(text: string, family: IpFamily): IcmpType {
  const names = family === 4 ? ICMP_TYPES : ICMPV6_TYPES;
  const wanted = text.toLowerCase();
  // A name may be cut, as long as one type alone starts so.
  const found = Object.keys(names).filter((name) => name.toLowerCase().startsWith(wanted));
  const exact = found.find((name) => name.toLowerCase() === wanted) ?? found[0];
  if (exact !== undefined && text !== "") {
    if (found.length > 1 && exact.toLowerCase() !== wanted) {
      throw parameterProblem(`Ambiguous ICMP type \`${text}': \`${found[0]}' or \`${found[1]}'?`);
    }
    return names[exact] as IcmpType;
  }
  const [typeText = "", codeText] = text.split("/", 2);
  const number = parseUint(typeText, 255);
  if (number === undefined) throw parameterProblem(`Unknown ICMP type \`${typeText}'`);
  if (codeText === undefined) return type(number);
  const only = parseUint(codeText, 255);
  if (only === undefined) throw parameterProblem(`Unknown ICMP code \`${codeText}'`);
  return code(number, only);
}

function extension(
  family: IpFamily,
  names: string[],
  option: string,
  protocol: number,
): MatchExtension {
  return {
    names,
    family,
    options: [{ name: option, args: 1, invertible: true }],
    parse(values, context) {
      const icmpType = parseIcmpType(values.required(option), family);
      if (context.protocol !== protocol || context.protocolInverted) {
        throw parameterProblem(
          `${names[0]} match requires '-p ${family === 4 ? "icmp" : "icmpv6"}'`,
        );
      }
      return new IcmpTypeMatch(family, icmpType, values.isInverted(option));
    },
  };
}

export const icmp: MatchExtension = extension(4, ["icmp"], "icmp-type", 1);
export const icmp6: MatchExtension = extension(
  6,
  ["icmp6", "icmpv6", "ipv6-icmp"],
  "icmpv6-type",
  58,
);
