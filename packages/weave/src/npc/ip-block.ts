import type { IpBlock } from "@cnilab/core";
import type { IpsetUsers } from "./ipset-users.ts";
import type { RuleHost } from "./selector-spec.ts";
import { ipsetName } from "./short-name.ts";

/** A block of addresses; those that are excepted are in a set (npc/ipblock.go). */
export class IpBlockSpec implements RuleHost {
  /** Empty where nothing is excepted: then there is no set. */
  readonly key: string;
  readonly setName: string;
  readonly cidr: string;
  readonly except: readonly string[];

  constructor({ cidr, except = [] }: IpBlock, namespace: string) {
    this.cidr = cidr;
    this.except = [...except].sort();
    this.key = this.except.join(" ");
    this.setName = ipsetName(`${namespace}:ipblock-except:${this.key}`);
  }

  get comment(): string {
    return this.key === "" ? `cidr: ${this.cidr}` : `cidr: ${this.cidr} except [${this.key}]`;
  }

  ruleWords(direction: "src" | "dst"): readonly string[] {
    const block = [direction === "src" ? "-s" : "-d", this.cidr];
    if (this.key === "") return block;
    return [...block, "-m", "set", "!", "--match-set", this.setName, direction];
  }

  /** Makes its set. */
  provision(user: string, sets: IpsetUsers): void {
    sets.create(this.setName, "hash:net");
    for (const cidr of this.except) {
      sets.add(user, this.setName, cidr, `excepted from ${this.cidr}`);
    }
  }
}
