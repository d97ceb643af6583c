import { IP_CT_UNTRACKED } from "../../conntrack-entry.ts";
import {
  type OptionValues,
  type RulePlace,
  type Target,
  type TargetExtension,
  type TargetVerdict,
  XT_CONTINUE,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import { demandTable, refusedRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

/** Leaves a packet untracked (`xt_ct_target` with XT_CT_NOTRACK); does not turn tracking on (`xt_ct_tg_check`). */
class NotrackTarget implements Target {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  run({ skb }: Walk): TargetVerdict {
    if (skb.ct === undefined && skb.ctInfo === 0) skb.ctInfo = IP_CT_UNTRACKED;
    return XT_CONTINUE;
  }

  effect(): string {
    return "untracked";
  }

  check(place: RulePlace): void {
    demandTable(place, "raw");
  }
}

/** A zone by number, or the packet's mark. */
type Zone = number | "mark";

/** Chooses the conntrack zone of a packet before it is tracked. */
class CtTarget implements Target {
  readonly text: string;
  readonly needsConntrack = true;
  readonly #original: Zone;
  readonly #reply: Zone;
  readonly #hasHelper: boolean;

  constructor(text: string, original: Zone, reply: Zone, hasHelper: boolean) {
    this.text = text;
    this.#original = original;
    this.#reply = reply;
    this.#hasHelper = hasHelper;
  }

  run({ skb }: Walk): TargetVerdict {
    if (skb.ct !== undefined || skb.ctInfo !== 0) return XT_CONTINUE;
    const number = (zone: Zone) => (zone === "mark" ? skb.mark & 0xffff : zone);
    skb.ctZones = ((number(this.#reply) << 16) | number(this.#original)) >>> 0;
    return XT_CONTINUE;
  }

  effect({ skb }: Walk): string {
    return `conntrack zone ${skb.ctZones & 0xffff}`;
  }

  check(place: RulePlace): void {
    demandTable(place, "raw");
    // No connection tracking helper is there.
    if (this.#hasHelper) throw refusedRule(place, "No such file or directory");
  }
}

const ZONE_OPTIONS = ["zone", "zone-orig", "zone-reply"] as const;

function parseZone(text: string): Zone | undefined {
  return text === "mark" ? "mark" : parseUint(text, 0xffff);
}

/** Events of which conntrack may tell (`ct_event_tbl` of libxt_CT.c); nobody listens here. */
const EVENTS = [
  "new",
  "related",
  "destroy",
  "reply",
  "assured",
  "protoinfo",
  "helper",
  "mark",
  "natseqinfo",
  "secmark",
];

function parseEvents(text: string): string | undefined {
  const words = text.split(",");
  return words.every((word) => EVENTS.includes(word)) ? text : undefined;
}

function zoneTarget(values: OptionValues): CtTarget {
  const given = ZONE_OPTIONS.filter((option) => values.has(option));
  if (given.length > 1)
    throw parameterProblem(`CT: only one of --${ZONE_OPTIONS.join(", --")} may be given`);
  const [option = "zone"] = given;
  const zone = values.parsed(option, parseZone) ?? 0;
  let text = "-j CT";
  const helper = values.word("helper");
  if (helper !== undefined) text += ` --helper ${helper}`;
  for (const events of ["ctevents", "expevents"]) {
    const list = values.parsed(events, parseEvents);
    if (list !== undefined) text += ` --${events} ${list}`;
  }
  if (given.length > 0) text += ` --${option} ${zone}`;
  const original = option === "zone-reply" ? 0 : zone;
  const reply = option === "zone-orig" ? 0 : zone;
  return new CtTarget(text, original, reply, helper !== undefined);
}

export const ct: TargetExtension = {
  name: "CT",
  options: [
    { name: "notrack", args: 0 },
    { name: "helper", args: 1 },
    { name: "ctevents", args: 1 },
    { name: "expevents", args: 1 },
    ...ZONE_OPTIONS.map((name) => ({ name, args: 1 }) as const),
  ],
  parse(values) {
    return values.has("notrack") ? new NotrackTarget("-j CT --notrack") : zoneTarget(values);
  },
};

export const notrack: TargetExtension = {
  name: "NOTRACK",
  options: [],
  parse: () => new NotrackTarget("-j NOTRACK"),
};
