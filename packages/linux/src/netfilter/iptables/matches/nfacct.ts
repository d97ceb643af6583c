import type { FlowEffect } from "../../../flow-cache.ts";
import type { NetNamespace } from "../../../net-namespace.ts";
import type { NfacctObject } from "../../nfacct.ts";
import type { Match, MatchExtension, RulePlace } from "../extension.ts";
import { Complaint } from "../iptables-error.ts";
import { parseName } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** Counts into an object that has a name (net/netfilter/xt_nfacct.c). */
class NfacctMatch implements Match {
  readonly pure = false;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  matches(walk: Walk): boolean {
    const object = walk.netns.nfacct.find(this.#name);
    if (object === undefined) return true;
    const bytes = walk.packet.length;
    object.packets++;
    object.bytes += bytes;
    walk.netns.network.recording?.effect(new NfacctCount(object, bytes));
    return true;
  }

  resolve(netns: NetNamespace, { chain }: RulePlace): void {
    if (netns.nfacct.find(this.#name) !== undefined) return;
    throw new Complaint(
      "kernel",
      `RULE_APPEND failed (No such file or directory): rule in chain ${chain}`,
    );
  }

  /** With two blanks before the name, as the tool prints it. */
  get text(): string {
    return `-m nfacct --nfacct-name  ${this.#name}`;
  }
}

class NfacctCount implements FlowEffect {
  readonly #object: NfacctObject;
  readonly #bytes: number;

  constructor(object: NfacctObject, bytes: number) {
    this.#object = object;
    this.#bytes = bytes;
  }

  repeat(packets: number): void {
    this.#object.packets += packets;
    this.#object.bytes += packets * this.#bytes;
  }
}

export const nfacct: MatchExtension = {
  names: ["nfacct"],
  options: [{ name: "nfacct-name", args: 1 }],
  parse(values) {
    values.required("nfacct-name");
    return new NfacctMatch(values.parsed("nfacct-name", parseName) as string);
  },
};
