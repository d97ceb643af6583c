import { addressIn, prefixOf } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { addressOf, everything, type Plan } from "./plan.ts";

const REFUSALS = ["blackhole", "unreachable", "prohibit", "throw"] as const;

/** Routes to every subnet, by the fewest hops; some are missing or wrong, some have several ways. */
export function routes(plan: Plan, choice: Choice): void {
  for (const netns of plan.routers) {
    for (const family of [4, 6] as const) {
      for (let subnet = 1; subnet <= plan.subnets; subnet++) {
        const ways = plan.nextHops(netns, subnet).map((next) => addressOf(family, next));
        const [via] = ways;
        if (via === undefined) continue;
        const dst = prefixOf(family, subnet);
        if (ways.length > 1 && choice.chance(50)) multipath(plan, choice, netns, dst, ways);
        else route(plan, choice, netns, family, dst, via);
      }
    }
  }
  for (const netns of plan.hosts) {
    const { subnet } = plan.firstOf(netns);
    for (const family of [4, 6] as const)
      route(plan, choice, netns, family, everything(family), addressIn(family, subnet, 1));
  }
  for (const netns of plan.routers) {
    if (!choice.chance(4)) plan.set(netns, "net/ipv4/ip_forward", 1);
    if (!choice.chance(4)) plan.set(netns, "net/ipv6/conf/all/forwarding", 1);
  }
  choice.some(2, () => oddRoute(plan, choice));
  if (choice.chance(15)) proxy(plan, choice);
}

function multipath(
  plan: Plan,
  choice: Choice,
  netns: string,
  dst: string,
  ways: readonly string[],
): void {
  const nexthops = ways.map((via) => ({ via, weight: choice.pick([1, 1, 2, 5]) }));
  plan.add({ do: "route", netns, dst, nexthops });
}

function route(
  plan: Plan,
  choice: Choice,
  netns: string,
  family: 4 | 6,
  dst: string,
  via: string,
): void {
  const luck = choice.below(100);
  if (luck < 3) return;
  if (luck < 7) {
    plan.add({ do: "route", netns, dst, type: choice.pick(REFUSALS) });
    return;
  }
  if (luck < 9) {
    // Somebody who is not there.
    const nobody = addressIn(family, plan.firstOf(netns).subnet, 99);
    plan.add({ do: "route", netns, dst, via: nobody });
    return;
  }
  const mtu = choice.chance(6) ? { mtu: 1300 } : {};
  plan.add({ do: "route", netns, dst, via, ...mtu });
}

function oddRoute(plan: Plan, choice: Choice): void {
  const netns = choice.pick(plan.routers);
  const family = choice.family();
  const length = choice.pick(family === 4 ? [32, 30, 26, 16] : [128, 120, 60, 48]);
  const dst = `${addressOf(family, choice.pick(plan.attachments))}/${length}`;
  const type = choice.pick([...REFUSALS, "unicast", "unicast"] as const);
  const gateways = plan.neighboursOf(netns);
  if (type !== "unicast" || gateways.length === 0) {
    plan.add({ do: "route", netns, dst, type: type === "unicast" ? "throw" : type });
    return;
  }
  const via = addressOf(family, choice.pick(gateways));
  plan.add({ do: "route", netns, dst, via, metric: choice.pick([0, 5, 2000]) });
}

/** A router that answers for an address behind it, whose own subnet a host takes for its link. */
function proxy(plan: Plan, choice: Choice): void {
  const family = choice.family();
  const target = choice.pick(plan.attachments);
  const asker = choice.pick(plan.hosts);
  const own = plan.firstOf(asker);
  const router = plan.attachments.find((a) => a.subnet === own.subnet && a.host === 1);
  if (router === undefined || target.subnet === own.subnet) return;
  const address = addressOf(family, target);
  plan.add({
    do: "route",
    netns: asker,
    dst: `${address}/${family === 4 ? 32 : 128}`,
    dev: own.dev,
  });
  const conf = `net/ipv${family}/conf/${router.dev}`;
  if (family === 4 && choice.chance(50)) plan.set(router.netns, `${conf}/proxy_arp`, 1);
  else {
    if (family === 6) plan.set(router.netns, `${conf}/proxy_ndp`, 1);
    plan.add({ do: "proxy", netns: router.netns, dev: router.dev, address });
  }
}

/** A rule, a table that it leads to, and where it is by mark a rule that marks. */
export function policy(
  plan: Plan,
  choice: Choice,
  match: (netns: string, family: 4 | 6, chain: string) => string,
): void {
  const netns = choice.pick(plan.namespaces);
  const family = choice.family();
  const table = 100 + choice.below(2);
  const subject = choice.pick(plan.attachments);
  const gateways = plan.neighboursOf(netns);
  const dst = choice.chance(50) ? everything(family) : prefixOf(family, subject.subnet);
  if (gateways.length > 0 && choice.chance(60)) {
    plan.add({ do: "route", netns, dst, via: addressOf(family, choice.pick(gateways)), table });
  } else plan.add({ do: "route", netns, dst, type: choice.pick(REFUSALS), table });
  const priority = 100 + choice.below(50);
  const action = choice.chance(85)
    ? { table }
    : { type: choice.pick(["blackhole", "unreachable", "prohibit"] as const) };
  const prefix = prefixOf(family, subject.subnet);
  switch (choice.below(7)) {
    case 0:
      plan.add({ do: "rule", netns, family, from: prefix, rule: { priority, action } });
      return;
    case 1:
      plan.add({ do: "rule", netns, family, to: prefix, rule: { priority, action } });
      return;
    case 2: {
      const iif = choice.pick(plan.attachmentsOf(netns)).dev;
      plan.add({ do: "rule", netns, family, rule: { priority, iif, action } });
      return;
    }
    case 3: {
      const [ipProtocol, port] = choice.pick([
        [6, 80],
        [17, 53],
      ] as const);
      const dport = choice.chance(70) ? { dport: { first: port, last: port + 1 } } : {};
      plan.add({ do: "rule", netns, family, rule: { priority, ipProtocol, ...dport, action } });
      return;
    }
    case 4: {
      // The main table, but for its default route: what wg-quick and Calico do.
      const rule = { priority, suppressPrefixLength: 0, action: { table: 254 } };
      plan.add({ do: "rule", netns, family, rule });
      plan.add({ do: "rule", netns, family, rule: { priority: priority + 50, action } });
      return;
    }
    default: {
      const value = 1 + choice.below(3);
      const fwmark = { value, mask: choice.pick([0xffffffff, value]) };
      plan.add({ do: "rule", netns, family, rule: { priority, fwmark, action } });
      const chain = choice.pick(["PREROUTING", "OUTPUT"]);
      const mark = `0x${value.toString(16)}`;
      const rule = `${match(netns, family, chain)} -j MARK --set-xmark ${mark}/${mark}`;
      plan.add({ do: "iptables", netns, family, table: "mangle", chain, rule });
    }
  }
}
