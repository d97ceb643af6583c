import { parsePrefix } from "@cnilab/net";
import type { PeerTerm } from "@cnilab/network-policy";
import type { Labels } from "../selector/node.ts";
import { parseSelector } from "../selector/selector.ts";
import { labelExpression } from "./label-expression.ts";

/** A set of networks with all labels that it has. */
export interface LabelledNets {
  readonly nets: readonly string[];
  readonly labels: Labels;
}

/** What selectors mean in the one form of all policies. Each text is read once. */
export class SelectorTerms {
  readonly #sets: readonly LabelledNets[];
  readonly #peers = new Map<string, PeerTerm>();

  constructor(sets: readonly LabelledNets[]) {
    this.#sets = sets;
  }

  /** Whom a policy selects: endpoints. @throws SelectorError */
  subject(text: string): PeerTerm {
    return { kind: "labels", where: labelExpression(parseSelector(text).root) };
  }

  /** Whom a rule means: endpoints, and the addresses of network sets. @throws SelectorError */
  peer(text: string): PeerTerm {
    let term = this.#peers.get(text);
    if (term === undefined) {
      term = this.#find(text);
      this.#peers.set(text, term);
    }
    return term;
  }

  #find(text: string): PeerTerm {
    const selector = parseSelector(text);
    const endpoints = this.subject(text);
    const nets = this.#sets.filter(({ labels }) => selector.matches(labels)).flatMap((s) => s.nets);
    if (nets.length === 0) return endpoints;
    const block: PeerTerm = { kind: "block", cidrs: nets.map(parsePrefix), except: [] };
    return { kind: "any", of: [endpoints, block] };
  }
}
