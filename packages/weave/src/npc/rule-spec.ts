import { EGRESS_ACCEPT_CHAIN, EGRESS_CUSTOM_CHAIN, INGRESS_CHAIN } from "./chains.ts";
import type { PolicyType, RuleHost } from "./selector-spec.ts";

/** From one end to another, which may be anything (npc/rule.go). */
export class RuleSpec {
  readonly type: PolicyType;
  readonly key: string;
  readonly chain: string;
  /** Each as words behind the chain's name. */
  readonly rules: readonly (readonly string[])[];

  constructor(
    type: PolicyType,
    source: RuleHost | undefined,
    destination: RuleHost | undefined,
    port?: { readonly protocol: string; readonly port: string },
  ) {
    const comment = `${source?.comment ?? "anywhere"} -> ${destination?.comment ?? "anywhere"} (${type})`;
    const words = [
      ...(port === undefined ? [] : ["-p", port.protocol]),
      ...(source?.ruleWords("src") ?? []),
      ...(destination?.ruleWords("dst") ?? []),
      ...(port === undefined ? [] : ["--dport", port.port]),
      ...["-m", "comment", "--comment", comment],
    ];
    this.type = type;
    this.key = words.join(" ");
    this.chain = type === "ingress" ? INGRESS_CHAIN : EGRESS_CUSTOM_CHAIN;
    // What leaves a pod may come to another of this node: it is marked, and goes on to the rules for that one.
    this.rules =
      type === "ingress"
        ? [[...words, "-j", "ACCEPT"]]
        : [
            [...words, "-j", EGRESS_ACCEPT_CHAIN],
            [...words, "-j", "RETURN"],
          ];
  }
}
