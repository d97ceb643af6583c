import {
  ICMP_HOST_ANO,
  ICMP_HOST_UNREACH,
  ICMP_NET_ANO,
  ICMP_NET_UNREACH,
  ICMP_PKT_FILTERED,
  ICMP_PORT_UNREACH,
  ICMP_PROT_UNREACH,
  ICMPV6_ADDR_UNREACH,
  ICMPV6_ADM_PROHIBITED,
  ICMPV6_NOROUTE,
  ICMPV6_POLICY_FAIL,
  ICMPV6_PORT_UNREACH,
  ICMPV6_REJECT_ROUTE,
  IPPROTO_TCP,
  type IpFamily,
} from "@cnilab/net";
import { NF_DROP } from "../../hooks.ts";
import { sendReset } from "../../tcp-reset.ts";
import { sendUnreachable } from "../../unreachable.ts";
import type { RulePlace, Target, TargetExtension, TargetVerdict } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { invalidRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

interface RejectType {
  readonly name: string;
  readonly aliases: readonly string[];
  /** Code of the ICMP "destination unreachable"; `undefined` for a TCP reset. */
  readonly code: number | undefined;
}

const TYPES: Readonly<Record<IpFamily, readonly RejectType[]>> = {
  4: [
    { name: "icmp-net-unreachable", aliases: ["net-unreach"], code: ICMP_NET_UNREACH },
    { name: "icmp-host-unreachable", aliases: ["host-unreach"], code: ICMP_HOST_UNREACH },
    { name: "icmp-proto-unreachable", aliases: ["proto-unreach"], code: ICMP_PROT_UNREACH },
    { name: "icmp-port-unreachable", aliases: ["port-unreach"], code: ICMP_PORT_UNREACH },
    { name: "icmp-net-prohibited", aliases: ["net-prohib"], code: ICMP_NET_ANO },
    { name: "icmp-host-prohibited", aliases: ["host-prohib"], code: ICMP_HOST_ANO },
    { name: "tcp-reset", aliases: ["tcp-rst"], code: undefined },
    { name: "icmp-admin-prohibited", aliases: ["admin-prohib"], code: ICMP_PKT_FILTERED },
  ],
  6: [
    { name: "icmp6-no-route", aliases: ["no-route"], code: ICMPV6_NOROUTE },
    { name: "icmp6-adm-prohibited", aliases: ["adm-prohibited"], code: ICMPV6_ADM_PROHIBITED },
    { name: "icmp6-addr-unreachable", aliases: ["addr-unreach"], code: ICMPV6_ADDR_UNREACH },
    { name: "icmp6-port-unreachable", aliases: ["port-unreach"], code: ICMPV6_PORT_UNREACH },
    { name: "tcp-reset", aliases: ["tcp-rst"], code: undefined },
    { name: "icmp6-policy-fail", aliases: ["policy-fail"], code: ICMPV6_POLICY_FAIL },
    { name: "icmp6-reject-route", aliases: ["reject-route"], code: ICMPV6_REJECT_ROUTE },
  ],
};

const DEFAULT_TYPE = { 4: "icmp-port-unreachable", 6: "icmp6-port-unreachable" } as const;

/** Drops a packet and tells its sender (net/ipv4/netfilter/ipt_REJECT.c, net/ipv6/netfilter/ip6t_REJECT.c). */
class RejectTarget implements Target {
  readonly #type: RejectType;

  constructor(type: RejectType) {
    this.#type = type;
  }

  run(walk: Walk): TargetVerdict {
    const { code } = this.#type;
    if (code === undefined) {
      sendReset(walk.skb, walk.netns);
    } else {
      sendUnreachable(walk.skb, walk.netns, code);
    }
    return NF_DROP;
  }

  effect(): string {
    return `REJECT with ${this.#type.name}`;
  }

  check(place: RulePlace): void {
    if (this.#type.code === undefined && place.protocol !== IPPROTO_TCP) throw invalidRule(place);
    const wrongHook = place.chain === "PREROUTING" || place.chain === "POSTROUTING";
    if (place.table !== "filter" || wrongHook) throw invalidRule(place);
  }

  get text(): string {
    return `-j REJECT --reject-with ${this.#type.name}`;
  }
}

function parseType(word: string, family: IpFamily): RejectType {
  const types = TYPES[family];
  // The name may be cut, as long as it begins one type (strncasecmp in REJECT_parse).
  const wanted = word.toLowerCase();
  const found =
    types.find((type) => type.name === wanted || type.aliases.includes(wanted)) ??
    types.find(
      (type) =>
        wanted !== "" &&
        (type.name.startsWith(wanted) || type.aliases.some((a) => a.startsWith(wanted))),
    );
  if (found === undefined) throw parameterProblem(`unknown reject type "${word}"`);
  return found;
}

export const reject: TargetExtension = {
  name: "REJECT",
  options: [{ name: "reject-with", args: 1 }],
  parse(values, { family }) {
    return new RejectTarget(parseType(values.word("reject-with") ?? DEFAULT_TYPE[family], family));
  },
};
