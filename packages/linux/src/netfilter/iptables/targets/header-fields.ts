import { IPPROTO_TCP, type IpFamily, TCP_SYN, TcpSegment } from "@cnilab/net";
import { routeOutput } from "../../../ip/route-output.ts";
import { NF_DROP } from "../../hooks.ts";
import {
  type RulePlace,
  type Target,
  type TargetExtension,
  type TargetVerdict,
  XT_CONTINUE,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { formatDscp, parseDscp, tosText } from "../matches/header-fields.ts";
import { parseMasked, parseUint } from "../numbers.ts";
import { demandTable, invalidRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

/** Lowers the maximum segment size that a SYN offers (net/netfilter/xt_TCPMSS.c). */
class TcpmssTarget implements Target {
  /** Bytes; `undefined` for what the path takes. */
  readonly #mss: number | undefined;

  constructor(mss: number | undefined) {
    this.#mss = mss;
  }

  run(walk: Walk): TargetVerdict {
    const { transport: segment, packet } = walk;
    if (!(segment instanceof TcpSegment) || (segment.flags & TCP_SYN) === 0) return XT_CONTINUE;
    const headers = packet.version === 4 ? 40 : 60;
    let mss = this.#mss;
    if (mss === undefined) {
      const mtu = Math.min(walk.skb.dst?.mtu ?? 0xffff, reverseMtu(walk));
      if (mtu <= headers) return NF_DROP;
      mss = mtu - headers;
    }
    if (segment.mss > 0) {
      // Never higher than the sender asked for.
      if (segment.mss > mss) segment.mss = mss;
      return XT_CONTINUE;
    }
    // Without the option the other end may assume 536 bytes (RFC 9293 section 3.7.1), or 1220 with IPv6.
    segment.mss = Math.min(mss, packet.version === 4 ? 536 : 1220);
    return XT_CONTINUE;
  }

  effect({ transport }: Walk): string {
    return `MSS ${transport instanceof TcpSegment ? transport.mss : 0}`;
  }

  check(place: RulePlace): void {
    if (place.protocol !== IPPROTO_TCP) throw invalidRule(place);
    const wrongHook = place.chain === "PREROUTING" || place.chain === "INPUT";
    if (this.#mss === undefined && wrongHook) throw invalidRule(place);
  }

  get text(): string {
    return this.#mss === undefined
      ? "-j TCPMSS --clamp-mss-to-pmtu"
      : `-j TCPMSS --set-mss ${this.#mss}`;
  }
}

/** What the way back takes (`tcpmss_reverse_mtu`). */
function reverseMtu({ netns, packet }: Walk): number {
  const route = routeOutput(netns, { dst: packet.src });
  return typeof route === "string" ? 0xffff : route.dst.mtu;
}

export const tcpmss: TargetExtension = {
  name: "TCPMSS",
  options: [
    { name: "set-mss", args: 1 },
    { name: "clamp-mss-to-pmtu", args: 0 },
  ],
  parse(values) {
    const mss = values.parsed("set-mss", (word) => parseUint(word, 0xffff - 40));
    if (mss === undefined && !values.has("clamp-mss-to-pmtu")) {
      throw parameterProblem("TCPMSS target: At least one parameter is required");
    }
    return new TcpmssTarget(mss);
  },
};

/** A target that writes header fields and lets the packet go on. */
abstract class MangleTarget implements Target {
  abstract readonly text: string;

  /** Changes the packet. A verdict ends the walk. */
  protected abstract change(walk: Walk): TargetVerdict;

  abstract effect(walk: Walk): string;

  run(walk: Walk): TargetVerdict {
    return this.change(walk);
  }

  check(place: RulePlace): void {
    demandTable(place, "mangle");
  }
}

class DscpTarget extends MangleTarget {
  readonly #dscp: number;

  constructor(dscp: number) {
    super();
    this.#dscp = dscp;
  }

  protected change({ packet }: Walk): TargetVerdict {
    packet.tos = (packet.tos & 0x03) | (this.#dscp << 2);
    return XT_CONTINUE;
  }

  effect(): string {
    return `DSCP ${formatDscp(this.#dscp)}`;
  }

  get text(): string {
    return `-j DSCP --set-dscp ${formatDscp(this.#dscp)}`;
  }
}

export const dscp: TargetExtension = {
  name: "DSCP",
  options: [
    { name: "set-dscp", args: 1 },
    { name: "set-dscp-class", args: 1 },
  ],
  parse: (values) =>
    new DscpTarget(parseDscp(values.word("set-dscp"), values.word("set-dscp-class"))),
};

class TosTarget extends MangleTarget {
  readonly #value: number;
  readonly #mask: number;

  constructor(value: number, mask: number) {
    super();
    this.#value = value;
    this.#mask = mask;
  }

  protected change({ packet }: Walk): TargetVerdict {
    packet.tos = (packet.tos & ~this.#mask) ^ this.#value;
    return XT_CONTINUE;
  }

  effect({ packet }: Walk): string {
    return `TOS 0x${packet.tos.toString(16)}`;
  }

  get text(): string {
    return `-j TOS --set-tos ${tosText(this.#value, this.#mask)}`;
  }
}

export const tos: TargetExtension = {
  name: "TOS",
  options: [{ name: "set-tos", args: 1 }],
  parse(values) {
    const word = values.required("set-tos");
    const masked = parseMasked(word);
    if (masked === undefined || masked.value > 255) throw values.badValue("set-tos", word);
    return new TosTarget(masked.value, masked.mask & 0xff);
  },
};

type TtlOperation = "set" | "dec" | "inc";

/** TTL and HL (net/netfilter/xt_HL.c). */
class TtlTarget extends MangleTarget {
  readonly #option: string;
  readonly #operation: TtlOperation;
  readonly #value: number;

  constructor(option: string, operation: TtlOperation, value: number) {
    super();
    this.#option = option;
    this.#operation = operation;
    this.#value = value;
  }

  protected change({ packet }: Walk): TargetVerdict {
    const changed = {
      set: this.#value,
      dec: packet.ttl - this.#value,
      inc: packet.ttl + this.#value,
    };
    packet.ttl = Math.max(0, Math.min(255, changed[this.#operation]));
    return XT_CONTINUE;
  }

  effect({ packet }: Walk): string {
    return `TTL ${packet.ttl}`;
  }

  get text(): string {
    return `-j ${this.#option.toUpperCase()} --${this.#option}-${this.#operation} ${this.#value}`;
  }
}

function ttlExtension(option: "ttl" | "hl", family: IpFamily): TargetExtension {
  const operations: readonly TtlOperation[] = ["set", "dec", "inc"];
  return {
    name: option.toUpperCase(),
    family,
    options: operations.map((operation) => ({ name: `${option}-${operation}`, args: 1 })),
    parse(values) {
      const operation = operations.find((o) => values.has(`${option}-${o}`));
      if (operation === undefined)
        throw parameterProblem(`${option.toUpperCase()}: You must specify an action`);
      const value = values.parsed(`${option}-${operation}`, (word) =>
        parseUint(word, 255),
      ) as number;
      return new TtlTarget(option, operation, value);
    },
  };
}

export const ttl: TargetExtension = ttlExtension("ttl", 4);
export const hl: TargetExtension = ttlExtension("hl", 6);

/** Fills in a checksum that a program left to the network card; packets here always have theirs. */
class ChecksumTarget extends MangleTarget {
  readonly text = "-j CHECKSUM --checksum-fill";

  protected change(): TargetVerdict {
    return XT_CONTINUE;
  }

  effect(): string {
    return "checksum filled in";
  }
}

export const checksum: TargetExtension = {
  name: "CHECKSUM",
  options: [{ name: "checksum-fill", args: 0 }],
  parse(values) {
    if (!values.has("checksum-fill")) {
      throw parameterProblem("CHECKSUM target: Parameter --checksum-fill is required");
    }
    return new ChecksumTarget();
  },
};
