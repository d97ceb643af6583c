import type { Service } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, type IpFamily, Prefix } from "@cnilab/net";
import {
  type ForwardingRules,
  originOf,
  passThrough,
  restoreText,
  translate,
} from "./forwarding.ts";

/** One address of a load balancer, and the nodes that it may use now. */
export interface Frontend {
  readonly key: string;
  readonly service: Service;
  readonly address: IpAddress;
  readonly nodes: readonly IpAddress[];
}

/**
 * The machine that the cloud's load balancers run on: a Linux router beside the nodes. Where the source is preserved, it
 * routes each connection to one of the healthy nodes by a hash over addresses and ports (an equal-cost multipath route),
 * as clouds' network load balancers do; where not, it translates both addresses. The cluster's router sends it what comes
 * from the world for its addresses.
 */
export class Forwarder {
  readonly #machine: Kernel;
  readonly #router: Kernel;
  readonly #sourcePreserving: boolean;
  /** By address, what is there. */
  readonly #set = new Map<IpAddress, { readonly rules: ForwardingRules; readonly nodes: string }>();

  constructor(machine: Kernel, router: Kernel, sourcePreserving: boolean) {
    this.#machine = machine;
    this.#router = router;
    this.#sourcePreserving = sourcePreserving;
    const { sysctl } = machine.initNs;
    sysctl.set("net.ipv4.ip_forward", 1);
    sysctl.set("net.ipv6.conf.all.forwarding", 1);
    for (const dev of ["all", "eth0"]) sysctl.set(`net.ipv4.conf.${dev}.send_redirects`, 0);
    for (const family of [4, 6]) sysctl.set(`net.ipv${family}.fib_multipath_hash_policy`, 1);
    if (!sourcePreserving) for (const family of this.#families) this.#masquerade(family);
  }

  set(frontend: Frontend): void {
    const { key, service, address, nodes } = frontend;
    const rules = this.#sourcePreserving
      ? passThrough(key, service, address)
      : translate(key, service, address, nodes);
    const before = this.#set.get(address);
    const now = { rules, nodes: this.#sourcePreserving ? nodes.map(formatIp).join() : "" };
    this.#set.set(address, now);
    if (before === undefined || before.rules.rules.join() !== rules.rules.join()) {
      const origin = originOf(service);
      const iptables = this.#machine.initNs.iptables(familyOf(address));
      iptables.restore(restoreText(rules), { noflush: true, origin });
      if (before === undefined) iptables.append(rules.table, "PREROUTING", rules.jump, origin);
    }
    if (before === undefined) this.#openRouter(frontend);
    if (before?.nodes !== now.nodes) this.#route(address, this.#sourcePreserving ? nodes : []);
  }

  remove(address: IpAddress): void {
    const rules = this.#set.get(address)?.rules;
    if (rules === undefined) return;
    this.#set.delete(address);
    const { initNs } = this.#machine;
    const iptables = initNs.iptables(familyOf(address));
    iptables.delete(rules.table, "PREROUTING", rules.jump);
    iptables.flush(rules.table, rules.chain);
    iptables.deleteChain(rules.table, rules.chain);
    initNs.deleteRoute({ dst: Prefix.host(address) });
    const router = this.#router.initNs;
    router.deleteRoute({ dst: Prefix.host(address) });
    router.iptables(familyOf(address)).delete("filter", "FORWARD", opening(address));
  }

  get #families(): readonly IpFamily[] {
    return [
      ...new Set(this.#machine.initNs.device("eth0").addresses.map((a) => familyOf(a.address))),
    ];
  }

  #masquerade(family: IpFamily): void {
    const rule = "-m conntrack --ctstate DNAT -j MASQUERADE --random-fully";
    this.#machine.initNs.iptables(family).append("nat", "POSTROUTING", rule);
  }

  /** Connections of the world to the address come in. */
  #openRouter({ address, service }: Frontend): void {
    const router = this.#router.initNs;
    const own = this.#machine.initNs.device("eth0").addresses.map((a) => a.address);
    const via = own.find((a) => familyOf(a) === familyOf(address));
    if (via === undefined) return;
    router.addRoute({ dst: Prefix.host(address), via });
    router
      .iptables(familyOf(address))
      .insert("filter", "FORWARD", opening(address), 1, originOf(service));
  }

  /** What has no node to go to ends here, instead of going round between this machine and the router. */
  #route(address: IpAddress, nodes: readonly IpAddress[]): void {
    const { initNs } = this.#machine;
    const dst = Prefix.host(address);
    if (initNs.fib(dst.family).routesTo(dst).length > 0) initNs.deleteRoute({ dst });
    if (nodes.length === 0) initNs.addRoute({ dst, type: "blackhole" });
    else initNs.addRoute({ dst, nexthops: nodes.map((via) => ({ via })) });
  }
}

function opening(address: IpAddress): string {
  return `-d ${formatIp(address)} -j ACCEPT`;
}
