import type { IpFamily } from "@cnilab/net";

/** Types and codes that ipset has names for (its lib/icmp.c and lib/icmpv6.c), as it prints them. */
const NAMES: Readonly<Record<IpFamily, Readonly<Record<string, string>>>> = {
  4: {
    "0/0": "echo-reply",
    "3/0": "network-unreachable",
    "3/1": "host-unreachable",
    "3/2": "protocol-unreachable",
    "3/3": "port-unreachable",
    "3/4": "fragmentation-needed",
    "3/5": "source-route-failed",
    "3/6": "network-unknown",
    "3/7": "host-unknown",
    "3/9": "network-prohibited",
    "3/10": "host-prohibited",
    "3/11": "TOS-network-unreachable",
    "3/12": "TOS-host-unreachable",
    "3/13": "communication-prohibited",
    "3/14": "host-precedence-violation",
    "3/15": "precedence-cutoff",
    "4/0": "source-quench",
    "5/0": "network-redirect",
    "5/1": "host-redirect",
    "5/2": "TOS-network-redirect",
    "5/3": "TOS-host-redirect",
    "8/0": "echo-request",
    "9/0": "router-advertisement",
    "10/0": "router-solicitation",
    "11/0": "ttl-zero-during-transit",
    "11/1": "ttl-zero-during-reassembly",
    "12/0": "ip-header-bad",
    "12/1": "required-option-missing",
    "13/0": "timestamp-request",
    "14/0": "timestamp-reply",
    "17/0": "address-mask-request",
    "18/0": "address-mask-reply",
  },
  6: {
    "1/0": "no-route",
    "1/1": "communication-prohibited",
    "1/3": "address-unreachable",
    "1/4": "port-unreachable",
    "2/0": "packet-too-big",
    "3/0": "ttl-zero-during-transit",
    "3/1": "ttl-zero-during-reassembly",
    "4/0": "bad-header",
    "4/1": "unknown-header-type",
    "4/2": "unknown-option",
    "128/0": "echo-request",
    "129/0": "echo-reply",
    "133/0": "router-solicitation",
    "134/0": "router-advertisement",
    "135/0": "neighbour-solicitation",
    "136/0": "neighbour-advertisement",
    "137/0": "redirect",
  },
};

/** Other spellings that it takes. */
const ALIASES: Readonly<Record<string, string>> = {
  ping: "echo-request",
  pong: "echo-reply",
  "ttl-exceeded": "ttl-zero-during-transit",
  "neighbor-solicitation": "neighbour-solicitation",
  "neighbor-advertisement": "neighbour-advertisement",
};

/** A name or `TYPE/CODE`; `undefined` where it is neither. Type in the high byte, code in the low. */
export function parseIcmp(family: IpFamily, text: string): number | undefined {
  const name = ALIASES[text] ?? text;
  const known = Object.entries(NAMES[family]).find(([, n]) => n === name)?.[0];
  const match = /^([0-9]{1,3})\/([0-9]{1,3})$/.exec(known ?? text);
  if (match === null) return undefined;
  const [type, code] = [Number(match[1]), Number(match[2])];
  return type > 255 || code > 255 ? undefined : (type << 8) | code;
}

export function formatIcmp(family: IpFamily, value: number): string {
  const numbers = `${value >>> 8}/${value & 255}`;
  return NAMES[family][numbers] ?? numbers;
}
