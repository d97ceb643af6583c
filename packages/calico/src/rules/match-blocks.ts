import type { PortRange, RuleProtocol } from "../calc/messages.ts";
import {
  clearMark,
  markClear,
  protocol,
  type RuleMatch,
  type Side,
  setMark,
  type TableRule,
} from "./rule.ts";

/**
 * Criteria of a policy's rule that no one rule of a chain can hold: several of a kind of which one must match. Each makes a block of
 * rules; a bit of the mark says whether all blocks so far match (`felix/rules/policy.go` matchBlockBuilder).
 */
export class MatchBlocks {
  /** Whether all blocks match. */
  readonly allPass: number;
  /** Whether the block that is being looked at matches. */
  readonly #thisPasses: number;
  readonly #rules: TableRule[] = [];
  /** Whether there has been a block that says what must match. */
  #positive = false;

  constructor(allPass: number, thisPasses: number) {
    this.allPass = allPass;
    this.#thisPasses = thisPasses;
  }

  get rules(): readonly TableRule[] {
    return this.#rules;
  }

  /** One of the lists of ports or one of the sets of named ports. */
  addPorts(
    side: Side,
    ofProtocol: RuleProtocol | undefined,
    splits: readonly (readonly PortRange[])[],
    namedPortSets: readonly string[],
  ): void {
    const numbered = splits.map((ports): readonly RuleMatch[] => [
      ...protocolMatch(ofProtocol),
      { match: "ports", side, ports },
    ]);
    const named = namedPortSets.map((set): readonly RuleMatch[] => [
      { match: "ip-port-set", side, set },
    ]);
    this.#addPositive([...numbered, ...named]);
  }

  /** One of the networks. */
  addNets(side: Side, nets: readonly string[]): void {
    this.#addPositive(nets.map((net) => [{ match: "net", side, net }]));
  }

  /** None of the networks. */
  addNotNets(side: Side, nets: readonly string[]): void {
    this.#start(this.allPass);
    for (const net of nets) {
      this.#rules.push({ matches: [{ match: "net", side, net }], action: clearMark(this.allPass) });
    }
  }

  #addPositive(alternatives: readonly (readonly RuleMatch[])[]): void {
    this.#start(0);
    // The first block may write its result where that of all belongs.
    const bit = this.#positive ? this.#thisPasses : this.allPass;
    for (const matches of alternatives) this.#rules.push({ matches, action: setMark(bit) });
    if (this.#positive) {
      this.#rules.push({
        matches: [markClear(this.#thisPasses)],
        action: clearMark(this.allPass),
      });
    }
    this.#positive = true;
  }

  /** Before the first block: no bit is set but those given. */
  #start(mark: number): void {
    if (this.#rules.length > 0) return;
    const mask = (this.allPass | this.#thisPasses) >>> 0;
    this.#rules.push({ action: { action: "set-masked-mark", mark, mask } });
  }
}

export function protocolMatch(of: RuleProtocol | undefined): readonly RuleMatch[] {
  if (of === undefined) return [];
  return [protocol("name" in of ? of.name : of.number)];
}
