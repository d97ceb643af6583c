import { formatIp, type IpAddress, Ipv6Address } from "@cnilab/net";
import {
  type Match,
  type MatchExtension,
  not,
  type OptionValues,
  type RulePlace,
} from "../extension.ts";
import { and, parseHost } from "../header-match.ts";
import { Complaint, parameterProblem } from "../iptables-error.ts";
import { parseName, parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const ACTIONS = ["set", "rcheck", "update", "remove"] as const;
type RecentAction = (typeof ACTIONS)[number];

interface RecentOptions {
  readonly action: RecentAction;
  readonly inverted: boolean;
  readonly seconds: number;
  readonly hitcount: number;
  readonly reap: boolean;
  readonly rttl: boolean;
  readonly name: string;
  readonly mask: IpAddress;
  readonly side: "rsource" | "rdest";
}

/** Remembers addresses and when they were seen (`recent_mt`, net/netfilter/xt_recent.c). */
class RecentMatch implements Match {
  readonly pure = false;
  readonly #options: RecentOptions;

  constructor(options: RecentOptions) {
    this.#options = options;
  }

  matches(walk: Walk): boolean {
    const { action, inverted, rttl, mask, side, name, hitcount } = this.#options;
    const { network } = walk.netns;
    network.recording?.unrepeatable();
    const { now } = network.clock;
    const table = walk.memory.recent.get(name);
    table.reserve(hitcount);
    const address = and(side === "rdest" ? walk.packet.dst : walk.packet.src, mask);
    // As it was before this machine forwarded it
    const forwarded = walk.state.out !== undefined && walk.skb.socket === undefined;
    const ttl = walk.packet.ttl + (forwarded ? 1 : 0);
    const entry = table.find(address, rttl ? ttl : 0);
    if (entry === undefined) {
      if (action !== "set") return inverted;
      table.add(address, ttl, now);
      return !inverted;
    }
    let found = action === "set" || action === "remove";
    if (action === "remove") table.remove(entry);
    if (action === "rcheck" || action === "update") {
      found = this.#seen(entry.stamps, now);
      if (this.#options.reap) table.reap(now - 1000 * this.#options.seconds);
    }
    const result = found !== inverted;
    if (action === "set" || (action === "update" && result)) table.update(entry, ttl, now);
    return result;
  }

  /** Whether the address was seen often enough in the time that counts. */
  #seen(stamps: readonly number[], now: number): boolean {
    const { seconds, hitcount } = this.#options;
    const since = now - 1000 * seconds;
    let hits = 0;
    for (const stamp of stamps) {
      if (seconds > 0 && since > stamp) continue;
      if (++hits >= hitcount) return true;
    }
    return false;
  }

  check(place: RulePlace): void {
    const { action, seconds, hitcount, reap, rttl } = this.#options;
    const modified = seconds > 0 || hitcount > 0 || reap || rttl;
    const wrong =
      ((action === "set" || action === "remove") && modified) ||
      (reap && seconds === 0) ||
      hitcount >= MAX_HITCOUNT;
    if (!wrong) return;
    throw new Complaint(
      "kernel",
      `RULE_APPEND failed (Invalid argument): rule in chain ${place.chain}`,
    );
  }

  get text(): string {
    const { action, inverted, seconds, hitcount, reap, rttl, name, mask, side } = this.#options;
    let text = `-m recent ${not(inverted)}--${action}`;
    if (seconds > 0) text += ` --seconds ${seconds}`;
    if (reap) text += " --reap";
    if (hitcount > 0) text += ` --hitcount ${hitcount}`;
    if (rttl) text += " --rttl";
    return `${text} --name ${name} --mask ${formatIp(mask)} --${side}`;
  }
}

/** `XT_RECENT_MAX_NSTAMPS` */
const MAX_HITCOUNT = 65536;
const ALL_ONES = Ipv6Address.of(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);

function actionOf(values: OptionValues): RecentAction {
  const given = ACTIONS.filter((action) => values.has(action));
  if (given.length > 1) {
    throw parameterProblem(
      "recent: only one of `--set', `--rcheck' `--update' or `--remove' may be set",
    );
  }
  const [action] = given;
  if (action === undefined) {
    throw parameterProblem(
      "recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'",
    );
  }
  return action;
}

function positive(text: string): number | undefined {
  return parseUint(text) || undefined;
}

export const recent: MatchExtension = {
  names: ["recent"],
  options: [
    ...ACTIONS.map((name) => ({ name, args: 0, invertible: true }) as const),
    { name: "seconds", args: 1 },
    { name: "hitcount", args: 1 },
    { name: "reap", args: 0 },
    { name: "rttl", args: 0 },
    { name: "name", args: 1 },
    { name: "mask", args: 1 },
    { name: "rsource", args: 0 },
    { name: "rdest", args: 0 },
  ],
  parse(values, { family }) {
    const action = actionOf(values);
    return new RecentMatch({
      action,
      inverted: values.isInverted(action),
      seconds: values.parsed("seconds", positive) ?? 0,
      hitcount: values.parsed("hitcount", positive) ?? 0,
      reap: values.has("reap"),
      rttl: values.has("rttl"),
      name: values.parsed("name", parseName) ?? "DEFAULT",
      mask:
        values.parsed("mask", (word) => parseHost(word, family)) ??
        (family === 4 ? 0xffffffff : ALL_ONES),
      side: values.has("rdest") ? "rdest" : "rsource",
    });
  },
};
