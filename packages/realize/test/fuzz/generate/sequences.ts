import { addressIn } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { type Attachment, addressOf, type Plan, vip } from "./plan.ts";

/** Packets that hosts send by hand, one after the other: some alone, some that belong together. */
export function sequence(plan: Plan, choice: Choice): void {
  for (let n = choice.between(6, 12); n > 0; n--) conversation(plan, choice, 1000 + n);
}

const SYN = 0x02;
const FLAGS = {
  syn: SYN,
  ack: 0x10,
  pushAck: 0x18,
  rst: 0x04,
  finAck: 0x11,
  synAck: 0x12,
} as const;

/** One to three packets of the same addresses and ports. */
function conversation(plan: Plan, choice: Choice, srcPort: number): void {
  const from = choice.pick(plan.attachments.filter((a) => plan.hosts.includes(a.netns)));
  const family = choice.family();
  const protocol = choice.pick(["tcp", "tcp", "udp", "udp", "icmp"] as const);
  const neighbours = plan.attachments.filter(
    (a) => a.subnet === from.subnet && a.netns !== from.netns,
  );
  if (neighbours.length === 0) return;
  const router = neighbours.find((a) => a.host === 1);
  const to = router !== undefined && choice.chance(85) ? router : choice.pick(neighbours);
  const common = {
    do: "frame",
    netns: from.netns,
    dev: from.dev,
    to: { netns: to.netns, dev: to.dev },
    protocol,
    src: choice.chance(85) ? addressOf(family, from) : stranger(plan, choice, family, from),
    dst: destination(plan, choice, family, from),
    srcPort,
    dstPort: choice.pick(protocol === "udp" ? [53, 53, 54, 5353] : [80, 80, 81, 8080]),
  } as const;
  for (let n = choice.pick([1, 1, 2, 3]); n > 0; n--) {
    const flags = choice.pick([FLAGS.syn, FLAGS.syn, FLAGS.syn, ...Object.values(FLAGS)]);
    const data = protocol !== "tcp" || flags === FLAGS.pushAck;
    const length = data ? choice.pick([8, 64, 64, 1000]) : 0;
    const whole = length < 64 || !choice.chance(15);
    plan.add({
      ...common,
      length,
      ...(protocol === "tcp" ? { flags } : {}),
      ...(choice.chance(15) ? { ttl: choice.between(1, 4) } : {}),
      ...(choice.chance(10) ? { tos: choice.pick([0x10, 0x28, 0xb8]) } : {}),
      ...(whole ? {} : { fragments: choice.pick([[0, 1], [0, 1], [1, 0], [0], [1]] as const) }),
    });
  }
}

function destination(plan: Plan, choice: Choice, family: 4 | 6, from: Attachment): string {
  if (choice.chance(15)) return vip(family);
  // A router that sends an IPv6 packet back where it came from redirects the sender, which the model does not know.
  const isBack = ({ subnet, host }: Attachment): boolean => subnet === from.subnet && host !== 1;
  const targets = plan.attachments.filter((a) => family === 4 || !isBack(a));
  return targets.length === 0 ? vip(family) : addressOf(family, choice.pick(targets));
}

function stranger(plan: Plan, choice: Choice, family: 4 | 6, { subnet }: Attachment): string {
  if (choice.chance(50)) return addressIn(family, subnet, 88);
  return addressOf(family, choice.pick(plan.attachments));
}
