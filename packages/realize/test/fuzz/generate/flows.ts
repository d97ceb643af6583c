import { addressIn, type Flow } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { addressOf, type Plan, vip } from "./plan.ts";

export function flow(plan: Plan, choice: Choice): Flow {
  const netns = choice.pick(choice.chance(75) ? plan.hosts : plan.routers);
  const family = choice.family();
  const protocol = choice.pick(["tcp", "tcp", "udp", "udp", "icmp"] as const);
  const from = choice.pick(plan.attachmentsOf(netns));
  const spoofed = protocol === "udp" && choice.chance(8);
  return {
    netns,
    protocol,
    dst: destination(plan, choice, family),
    dstPort: choice.pick(PORTS[protocol]),
    length: protocol === "tcp" ? 0 : choice.pick([64, 64, 64, 1300, 1440, 2000, 4000]),
    ...(spoofed ? { src: stranger(plan, choice, family), spoofed } : {}),
    ...(!spoofed && choice.chance(15) ? { src: addressOf(family, from) } : {}),
    ...(choice.chance(18) ? { ttl: choice.between(1, 4) } : {}),
  };
}

/** 80 and 53 are served; the rest is for rules that translate. */
const PORTS = { tcp: [80, 80, 80, 81, 8080], udp: [53, 53, 53, 54, 5353], icmp: [0] } as const;

function destination(plan: Plan, choice: Choice, family: 4 | 6): string {
  const luck = choice.below(100);
  if (luck < 15) return vip(family);
  if (luck < 20) return addressIn(family, choice.between(1, plan.subnets), 77);
  if (luck < 23) return family === 4 ? "203.0.113.9" : "2001:db8::9";
  return addressOf(family, choice.pick(plan.attachments));
}

/** An address that the sender does not have: somebody else's, nobody's, or one that must not be seen on a link. */
function stranger(plan: Plan, choice: Choice, family: 4 | 6): string {
  const luck = choice.below(100);
  if (luck < 60) return addressOf(family, choice.pick(plan.attachments));
  if (luck < 80) return addressIn(family, choice.between(1, plan.subnets), 88);
  return family === 4 ? choice.pick(["198.51.100.7", "127.0.0.5"]) : "2001:db8::7";
}
