import {
  type IpAddress,
  Ipv6Address,
  Prefix,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { addressChanged } from "../../ip/checksum-complete.ts";
import { IP_CT_UNTRACKED } from "../conntrack-entry.ts";
import { NF_ACCEPT, type NfVerdict } from "../hooks.ts";
import { dnat, masquerade, type NatRange, netmap, redirect, snat } from "../nat.ts";
import { sendReset } from "../tcp-reset.ts";
import { sendUnreachable } from "../unreachable.ts";
import type { SetAccess } from "./computed-source.ts";
import type { VerdictKind } from "./expression.ts";
import type { HeaderField } from "./header-field.ts";
import { readWords } from "./key-words.ts";
import type { Operation } from "./operation.ts";
import type { Source } from "./source.ts";
import { runStateful } from "./stateful-operation.ts";
import type { Counter, Limit, NatKind, Quota, Reject, SetUpdate } from "./statement.ts";
import {
  ACCEPT,
  DROP,
  DROPPED,
  GO_ON,
  GOTO,
  JUMP,
  NEXT_RULE,
  type Outcome,
  RETURN,
  type Walk,
} from "./walk.ts";

/** What each verdict makes of the walk. `queue` has an operation of its own. */
const OUTCOMES: Readonly<Record<VerdictKind, Outcome>> = {
  accept: ACCEPT,
  drop: DROP,
  continue: NEXT_RULE,
  return: RETURN,
  jump: JUMP,
  goto: GOTO,
  queue: DROP,
};

export class VerdictOperation implements Operation {
  readonly #outcome: Outcome;
  readonly #target: number;

  constructor(verdict: VerdictKind, target: number) {
    this.#outcome = OUTCOMES[verdict];
    this.#target = target;
  }

  run(walk: Walk): Outcome {
    walk.target = this.#target;
    return this.#outcome;
  }
}

/** `vmap`: one look-up, whatever the number of elements. */
export class VerdictMapOperation implements Operation {
  readonly #key: Source;
  readonly #map: SetAccess;

  constructor(key: Source, map: SetAccess) {
    this.#key = key;
    this.#map = map;
  }

  run(walk: Walk): Outcome {
    if (!this.#key.load(walk, 0)) return NEXT_RULE;
    const element = this.#map.elements(walk)?.find(walk.registers, 0, walk.now);
    const verdict = element?.verdict;
    if (element === undefined || verdict === undefined) return NEXT_RULE;
    walk.netns.network.recording?.expires(element.expires);
    for (const statement of element.stateful) {
      if (!runStateful(walk, statement)) return NEXT_RULE;
    }
    walk.target = element.target;
    return OUTCOMES[verdict.verdict];
  }
}

/** Writes to the packet's metadata or connection. */
export class SetMarkOperation implements Operation {
  readonly #what: "mark" | "priority" | "ct mark" | "pkttype";
  readonly #value: Source;

  constructor(what: "mark" | "priority" | "ct mark" | "pkttype", value: Source) {
    this.#what = what;
    this.#value = value;
  }

  run(walk: Walk): Outcome {
    if (!this.#value.load(walk, 0)) return NEXT_RULE;
    const { skb, registers } = walk;
    const value = registers[0] as number;
    switch (this.#what) {
      case "mark":
        skb.mark = value;
        break;
      case "priority":
        skb.priority = value;
        break;
      case "pkttype":
        skb.packetType = (value & 3) as 0 | 1 | 2 | 3;
        break;
      case "ct mark":
        if (skb.ct !== undefined && skb.ct.mark !== value) {
          skb.ct.mark = value;
          walk.netns.network.recording?.unrepeatable();
        }
        break;
    }
    return GO_ON;
  }
}

/** Writes a field of a header; checksums are right by themselves here. */
export class SetFieldOperation implements Operation {
  readonly #field: HeaderField;
  readonly #value: Source;

  constructor(field: HeaderField, value: Source) {
    this.#field = field;
    this.#value = value;
  }

  run(walk: Walk): Outcome {
    const { packet, transport, registers } = walk;
    if (packet === undefined || !this.#value.load(walk, 0)) return NEXT_RULE;
    const value = registers[0] as number;
    switch (this.#field.name) {
      case "saddr": {
        const address = readAddress(registers, 0, packet.version);
        addressChanged(walk.skb, packet.src, address);
        packet.src = address;
        break;
      }
      case "daddr": {
        const address = readAddress(registers, 0, packet.version);
        addressChanged(walk.skb, packet.dst, address);
        packet.dst = address;
        break;
      }
      case "ttl":
      case "hoplimit":
        packet.ttl = value;
        break;
      case "dscp":
        packet.tos = (packet.tos & 3) | (value << 2);
        break;
      case "ecn":
        packet.tos = (packet.tos & ~3) | value;
        break;
      case "sport":
      case "dport": {
        if (!hasPorts(transport)) return NEXT_RULE;
        if (this.#field.name === "sport") transport.srcPort = value;
        else transport.dstPort = value;
        break;
      }
    }
    return GO_ON;
  }
}

/** Fields that {@link SetFieldOperation} can write. */
export const WRITABLE_FIELDS: ReadonlySet<string> = new Set([
  "saddr",
  "daddr",
  "ttl",
  "hoplimit",
  "dscp",
  "ecn",
  "sport",
  "dport",
]);

function hasPorts(header: unknown): header is TcpSegment | UdpDatagram | SctpPacket {
  return (
    header instanceof TcpSegment || header instanceof UdpDatagram || header instanceof SctpPacket
  );
}

function readAddress(words: Uint32Array, at: number, version: 4 | 6): IpAddress {
  if (version === 4) return words[at] as number;
  const [a, b, c, d] = words.subarray(at, at + 4) as unknown as [number, number, number, number];
  return Ipv6Address.of(a, b, c, d);
}

export class NotrackOperation implements Operation {
  run({ skb }: Walk): Outcome {
    if (skb.ct === undefined) skb.ctInfo = IP_CT_UNTRACKED;
    return GO_ON;
  }
}

/** Waits for a program that reads the queue; there is none, so only `bypass` lets it through. */
export class QueueOperation implements Operation {
  readonly #bypass: boolean;

  constructor(bypass: boolean) {
    this.#bypass = bypass;
  }

  run(): Outcome {
    return this.#bypass ? ACCEPT : DROP;
  }
}

/** Codes that `icmpx` stands for: no route, port, host, administratively prohibited. */
const ICMPX_CODES = { 4: [0, 3, 1, 13], 6: [0, 4, 3, 1] } as const;

/** Drops the packet and tells its sender (net/netfilter/nft_reject.c). */
export class RejectOperation implements Operation {
  readonly #type: Reject["type"];
  readonly #code: number;

  constructor(type: Reject["type"], code: number) {
    this.#type = type;
    this.#code = code;
  }

  run(walk: Walk): Outcome {
    const { packet, skb, netns } = walk;
    if (packet === undefined) return DROP;
    if (this.#type === "tcp reset") {
      sendReset(skb, netns);
      return DROP;
    }
    const { version } = packet;
    const code = this.#type === "icmpx" ? (ICMPX_CODES[version][this.#code] as number) : this.#code;
    sendUnreachable(skb, netns, code);
    return DROP;
  }
}

/** What a NAT statement translates to, as it is found for each packet. */
export interface NatOperands {
  readonly kind: NatKind;
  /** Gives the first address, or the first and the last. */
  readonly address: Source | undefined;
  readonly port: Source | undefined;
  /** The address's source gives the port behind it. */
  readonly addressAndPort: boolean;
  /** The address's source gives a network (`prefix to`), of this many words an address. */
  readonly prefix: boolean;
  readonly random: boolean;
  readonly fullyRandom: boolean;
  readonly persistent: boolean;
}

/** Decides about a new connection (net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c). */
export class NatOperation implements Operation {
  readonly #operands: NatOperands;

  constructor(operands: NatOperands) {
    this.#operands = operands;
  }

  run(walk: Walk): Outcome {
    const { packet } = walk;
    if (packet === undefined) return NEXT_RULE;
    const range = this.#range(walk, packet.version);
    if (range === undefined) return NEXT_RULE;
    // NAT that refuses has said why.
    return this.#translate(walk, range) === NF_ACCEPT ? ACCEPT : DROPPED;
  }

  #translate(walk: Walk, range: NatRange): NfVerdict {
    const { skb, state } = walk;
    const { kind, prefix } = this.#operands;
    if (prefix && range.minAddress !== undefined) {
      return netmap(skb, state, networkOf(range), kind === "snat" ? 0 : 1);
    }
    switch (kind) {
      case "snat":
        return snat(skb, state, range);
      case "dnat":
        return dnat(skb, state, range);
      case "masquerade":
        return masquerade(skb, state, range);
      case "redirect":
        return redirect(skb, state, range);
    }
  }

  /** `undefined` where what it is computed from is not there. */
  #range(walk: Walk, version: 4 | 6): NatRange | undefined {
    const { registers } = walk;
    const { address, port, addressAndPort, random, fullyRandom, persistent } = this.#operands;
    const flags = { random, fullyRandom, persistent };
    let range: NatRange = flags;
    if (address !== undefined) {
      if (!address.load(walk, 0)) return undefined;
      const words = version === 4 ? 1 : 4;
      const both = addressAndPort ? words + 1 : words;
      const minAddress = readAddress(registers, 0, version);
      const isRange = address.words >= 2 * both;
      const maxAddress = isRange ? readAddress(registers, both, version) : minAddress;
      range = { ...range, minAddress, maxAddress };
      if (addressAndPort) {
        const minPort = registers[words] as number;
        const maxPort = isRange ? (registers[both + words] as number) : minPort;
        range = { ...range, minPort, maxPort };
      }
    }
    if (port !== undefined) {
      if (!port.load(walk, 0)) return undefined;
      const minPort = registers[0] as number;
      range = { ...range, minPort, maxPort: port.words > 1 ? (registers[1] as number) : minPort };
    }
    return range;
  }
}

/** The network that a range of addresses is. */
function networkOf({ minAddress, maxAddress }: NatRange): Prefix {
  const from = minAddress as IpAddress;
  const to = maxAddress as IpAddress;
  let length = typeof from === "number" ? 32 : 128;
  while (length > 0 && !new Prefix(from, length).contains(to)) length--;
  return new Prefix(from, length);
}

/** `add`, `update` and `delete` of an element by the packet path (net/netfilter/nft_dynset.c). */
export class SetUpdateOperation implements Operation {
  readonly #operation: SetUpdate["operation"];
  readonly #number: number;
  readonly #key: Source;
  readonly #data: Source | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #stateful: readonly (Counter | Limit | Quota)[];

  constructor(update: SetUpdate, number: number, key: Source, data: Source | undefined) {
    this.#operation = update.operation;
    this.#number = number;
    this.#key = key;
    this.#data = data;
    this.#timeoutMs = update.timeoutMs;
    this.#stateful = update.stateful;
  }

  run(walk: Walk): Outcome {
    const { table, registers, now, netns } = walk;
    netns.network.recording?.unrepeatable();
    const set = table.sets.at(this.#number);
    if (set === undefined || !this.#key.load(walk, 0)) return NEXT_RULE;
    const elements = table.elementsOf(set, now);
    const { options } = set;
    const found = elements.find(registers, 0, now);
    const timeoutMs = this.#timeoutMs ?? options.timeoutMs;
    const expires = timeoutMs === undefined ? Number.POSITIVE_INFINITY : now + timeoutMs;
    if (this.#operation === "delete") {
      if (found === undefined) return NEXT_RULE;
      elements.delete(found.key);
      netns.network.touch();
      return GO_ON;
    }
    if (found !== undefined) {
      if (this.#operation === "update" && timeoutMs !== undefined) found.expires = expires;
      return this.#runStateful(walk, found.stateful);
    }
    elements.collect(now);
    if (options.size !== undefined && elements.size >= options.size) return NEXT_RULE;
    const values = elements.readKey(registers, 0);
    const key = { from: values, to: values };
    const dataWords = this.#loadData(walk);
    if (this.#data !== undefined && dataWords === undefined) return NEXT_RULE;
    const wanted = this.#stateful.length > 0 ? this.#stateful : options.stateful;
    const stateful = wanted.map((statement) => ({ ...statement }));
    elements.put({
      key,
      data: dataWords && {
        kind: "value",
        type: options.data?.[0]?.type as never,
        bits: options.data?.[0]?.bits as number,
        value: readWords(dataWords, 0, options.data?.[0]?.bits as number),
      },
      dataWords,
      verdict: undefined,
      target: -1,
      timeoutMs,
      expires,
      comment: undefined,
      stateful,
    });
    netns.network.touch();
    return this.#runStateful(walk, stateful);
  }

  #loadData(walk: Walk): Uint32Array | undefined {
    const data = this.#data;
    if (data === undefined || !data.load(walk, 0)) return undefined;
    return walk.registers.slice(0, data.words);
  }

  #runStateful(walk: Walk, statements: readonly (Counter | Limit | Quota)[]): Outcome {
    for (const statement of statements) if (!runStateful(walk, statement)) return NEXT_RULE;
    return GO_ON;
  }
}
