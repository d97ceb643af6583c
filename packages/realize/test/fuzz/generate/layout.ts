import { addressIn } from "../topology.ts";
import type { Choice } from "./choice.ts";
import type { Attachment, Plan } from "./plan.ts";

/** Who is there and how they are joined. */
export function layout(plan: Plan, choice: Choice): void {
  backbone(plan, choice);
  for (const router of [...plan.routers]) edge(plan, choice, router);
  if (choice.chance(12)) macvlans(plan, choice);
  portFlags(plan, choice.fork("port flags"));
}

const mtu = (choice: Choice): number => choice.pick([1500, 1500, 1500, 1450, 1400, 1280]);

/** One to three routers in a chain, sometimes a ring, sometimes with a tunnel between the ends. */
function backbone(plan: Plan, choice: Choice): void {
  const count = choice.between(1, 3);
  for (let i = 1; i <= count; i++) {
    const router = plan.router();
    if (i > 1) plan.cable(`r${i - 1}`, router, mtu(choice));
  }
  if (count === 3 && choice.chance(40)) plan.cable("r1", "r3", mtu(choice));
  // A second cable beside the first: equal ways, for multipath.
  else if (count === 2 && choice.chance(25)) plan.cable("r1", "r2", mtu(choice));
  if (count > 1 && choice.chance(40)) vxlan(plan, choice);
}

function vxlan(plan: Plan, choice: Choice): void {
  const [x, y] = [plan.attachments[0] as Attachment, plan.attachments[1] as Attachment];
  const family = choice.family();
  const subnet = plan.newSubnet();
  plan.add({
    do: "vxlan",
    ends: [x.netns, y.netns],
    local: [addressIn(family, x.subnet, x.host), addressIn(family, y.subnet, y.host)],
    subnet,
  });
  plan.attach(x.netns, subnet, 1, `vx${subnet}`);
  plan.attach(y.netns, subnet, 2, `vx${subnet}`);
}

/** One to three hosts of a router: each on a cable, or all on a bridge of the router's. */
function edge(plan: Plan, choice: Choice, router: string): void {
  const members = Array.from({ length: choice.between(1, choice.chance(20) ? 3 : 2) }, () =>
    plan.host(),
  );
  if (choice.chance(50)) {
    for (const member of members) plan.cable(router, member, mtu(choice));
    return;
  }
  const subnet = plan.newSubnet();
  plan.add({ do: "lan", netns: router, members, subnet, mtu: mtu(choice) });
  plan.attach(router, subnet, 1, `br${subnet}`);
  for (const [i, member] of members.entries()) plan.attach(member, subnet, 2 + i, `e${subnet}`);
  plan.bridges.push({ netns: router, subnet, ports: members.length });
}

/** A second host on a device that a host has: both have addresses of the same subnet. */
function macvlans(plan: Plan, choice: Choice): void {
  const owner = choice.pick(plan.hosts);
  const { subnet, dev } = plan.firstOf(owner);
  const netns = plan.host();
  const mode = choice.pick(["bridge", "bridge", "private", "vepa"] as const);
  plan.add({ do: "macvlan", owner, lower: dev, netns, subnet, host: 40, mode });
  plan.attach(netns, subnet, 40, `e${subnet}`);
}

function portFlags(plan: Plan, choice: Choice): void {
  for (const { netns, subnet, ports } of plan.bridges) {
    if (!choice.chance(35)) continue;
    const bridge = `br${subnet}`;
    const flag = choice.pick(["hairpin", "hairpin", "isolated"] as const);
    for (let port = 0; port < ports; port++) {
      if (choice.chance(60)) plan.add({ do: flag, netns, bridge, port });
    }
  }
}
