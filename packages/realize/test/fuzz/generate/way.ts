import { addressIn, type Flow, prefixOf } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { type Attachment, addressOf, type Plan } from "./plan.ts";

/** Who asks whom, and the routers between them. */
export interface Way {
  readonly family: 4 | 6;
  readonly from: Attachment;
  readonly to: Attachment;
  /** In order; none between neighbours. */
  readonly routers: readonly string[];
}

/** A host and somebody whom it can reach if nothing is in the way. */
export function way(plan: Plan, choice: Choice): Way {
  const from = plan.firstOf(choice.pick(plan.hosts));
  const to = choice.pick(plan.attachments.filter((a) => a.netns !== from.netns));
  return { family: choice.family(), from, to, routers: routersBetween(plan, from.netns, to.netns) };
}

function routersBetween(plan: Plan, from: string, to: string): string[] {
  const before = new Map<string, string | undefined>([[from, undefined]]);
  for (const [netns] of before) {
    if (netns === to) break;
    if (netns !== from && !plan.routers.includes(netns)) continue;
    for (const next of plan.neighboursOf(netns)) {
      if (!before.has(next.netns)) before.set(next.netns, netns);
    }
  }
  const found: string[] = [];
  for (let at = before.get(to); at !== undefined && at !== from; at = before.get(at)) {
    found.unshift(at);
  }
  return found;
}

/** Where packets of a way, or the answers to them, meet filters: a chain of iptables, a hook of nftables. */
export interface Post {
  readonly netns: string;
  readonly chain: "FORWARD" | "INPUT" | "OUTPUT";
}

export function post(choice: Choice, { from, to, routers }: Way, answers = false): Post {
  const forward = routers.map((netns): Post => ({ netns, chain: "FORWARD" }));
  return choice.pick([
    ...forward,
    ...forward,
    { netns: from.netns, chain: answers ? "INPUT" : "OUTPUT" },
    { netns: to.netns, chain: answers ? "OUTPUT" : "INPUT" },
  ]);
}

export const source = ({ family, from }: Way): string => addressOf(family, from);
export const target = ({ family, to }: Way): string => addressOf(family, to);
export const targetNet = ({ family, to }: Way): string => prefixOf(family, to.subnet);

/** A second network on the link of a subnet. */
export const secondAddress = (family: 4 | 6, { subnet, host }: Attachment): string =>
  addressIn(family, subnet, host)
    .replace(/^10\.0\./, "10.9.")
    .replace(/^fd00:0:/, "fd00:9:");

/** What programs do most: each protocol, to a port that is served or not. */
export function send(plan: Plan, choice: Choice, { from }: Way, dst: string): void {
  const flows = choice.several<Pick<Flow, "protocol" | "dstPort" | "length">>([
    { protocol: "tcp", dstPort: choice.pick([80, 80, 81]), length: 0 },
    { protocol: "udp", dstPort: choice.pick([53, 53, 54]), length: choice.pick([64, 1440, 4000]) },
    { protocol: "icmp", dstPort: 0, length: choice.pick([64, 2000]) },
  ]);
  for (const flow of flows) plan.add({ do: "flow", flow: { netns: from.netns, dst, ...flow } });
}
