import type { Origin } from "@cnilab/core";
import { Dummy, type Iptables, type NetNamespace } from "@cnilab/linux";
import { addressBits, familyOf, formatIp, type IpAddress } from "@cnilab/net";

const DEVICE = "nodelocaldns";
const HEALTH_PORT = 8080;
const SKIP = "NodeLocal DNS Cache: skip conntrack";
const ALLOW = "NodeLocal DNS Cache: allow DNS traffic";

interface RuleAt {
  readonly table: "raw" | "filter";
  readonly chain: string;
  readonly rule: string;
}

/** In the order in which node-cache puts them, each before what is there (kubernetes/dns cmd/node-cache/app initIptables). */
function rulesFor(address: IpAddress, port: number): readonly RuleAt[] {
  const ip = `${formatIp(address)}/${addressBits(familyOf(address))}`;
  const skip = (chain: string, match: string): RuleAt => ({
    table: "raw",
    chain,
    rule: `${match} -m comment --comment "${SKIP}" -j NOTRACK`,
  });
  const allow = (chain: string, match: string): RuleAt => ({
    table: "filter",
    chain,
    rule: `${match} -m comment --comment "${ALLOW}" -j ACCEPT`,
  });
  const both = (rule: (protocol: string) => RuleAt): readonly RuleAt[] => ["tcp", "udp"].map(rule);
  return [
    ...both((p) => skip("PREROUTING", `-d ${ip} -p ${p} -m ${p} --dport ${port}`)),
    ...both((p) => allow("INPUT", `-d ${ip} -p ${p} -m ${p} --dport ${port}`)),
    ...both((p) => skip("OUTPUT", `-s ${ip} -p ${p} -m ${p} --sport ${port}`)),
    ...both((p) => allow("OUTPUT", `-s ${ip} -p ${p} -m ${p} --sport ${port}`)),
    ...both((p) => skip("OUTPUT", `-d ${ip} -p ${p} -m ${p} --dport ${port}`)),
    skip("OUTPUT", `-d ${ip} -p tcp -m tcp --dport ${HEALTH_PORT}`),
    skip("OUTPUT", `-s ${ip} -p tcp -m tcp --sport ${HEALTH_PORT}`),
  ];
}

/**
 * Gives the node the cache's addresses, on a device of their own, and takes DNS to and from them out of connection tracking: so no
 * Service's translation touches it, and no two queries race for an entry.
 */
export class NodeCacheNetwork {
  readonly #netns: NetNamespace;
  readonly #addresses: readonly IpAddress[];
  readonly #port: number;
  readonly #origin: Origin;

  constructor(netns: NetNamespace, addresses: readonly IpAddress[], port: number, origin: Origin) {
    this.#netns = netns;
    this.#addresses = addresses;
    this.#port = port;
    this.#origin = origin;
  }

  setUp(): void {
    const device = this.#netns.findDevice(DEVICE) ?? new Dummy(this.#netns, { name: DEVICE });
    device.setUp();
    for (const address of this.#addresses) {
      if (!device.addresses.some((a) => a.address === address)) {
        device.addAddress(address, addressBits(familyOf(address)));
      }
    }
    this.#eachRule((iptables, { table, chain, rule }) => {
      if (!iptables.check(table, chain, rule)) iptables.insert(table, chain, rule, 1, this.#origin);
    });
  }

  tearDown(): void {
    this.#netns.findDevice(DEVICE)?.remove();
    this.#eachRule((iptables, { table, chain, rule }) => {
      if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
    });
  }

  #eachRule(what: (iptables: Iptables, rule: RuleAt) => void): void {
    for (const address of this.#addresses) {
      const iptables = this.#netns.iptables(familyOf(address));
      for (const rule of rulesFor(address, this.#port)) what(iptables, rule);
    }
  }
}
