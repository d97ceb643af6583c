import type { Iptables, NetNamespace } from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";

const CHAIN = "DOCKER-INGRESS";
export const GATEWAY_BRIDGE = "docker_gwbridge";

/** A port of the routing mesh: every node takes it, and leads it into the ingress network. */
export interface IngressPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly published: number;
}

/** Rules of the host for the routing mesh (daemon/libnetwork/service_linux.go): from any of its addresses to the ingress sandbox on docker_gwbridge. */
export class IngressRules {
  readonly #iptables: Iptables;
  readonly #sandbox: IpAddress;

  constructor(netns: NetNamespace, sandbox: IpAddress) {
    const iptables = netns.iptables(4);
    this.#iptables = iptables;
    this.#sandbox = sandbox;
    for (const table of ["nat", "filter"]) {
      if (iptables.hasChain(table, CHAIN)) iptables.flush(table, CHAIN);
      else iptables.newChain(table, CHAIN);
      iptables.append(table, CHAIN, "-j RETURN");
    }
    const local = `-m addrtype --dst-type LOCAL -j ${CHAIN}`;
    for (const chain of ["PREROUTING", "OUTPUT"]) insertFirst(iptables, "nat", chain, local);
    insertFirst(iptables, "filter", "DOCKER-FORWARD", `-j ${CHAIN}`);
    const fromHost = `-o ${GATEWAY_BRIDGE} -m addrtype --src-type LOCAL -j MASQUERADE`;
    insertFirst(iptables, "nat", "POSTROUTING", fromHost);
  }

  addPort(port: IngressPort): void {
    for (const [table, rule] of [...this.#rules(port)].reverse()) {
      this.#iptables.insert(table, CHAIN, rule);
    }
  }

  removePort(port: IngressPort): void {
    for (const [table, rule] of this.#rules(port)) this.#iptables.delete(table, CHAIN, rule);
  }

  #rules({ protocol, published }: IngressPort): readonly (readonly [string, string])[] {
    const to = `${formatIp(this.#sandbox)}:${published}`;
    return [
      ["nat", `-p ${protocol} --dport ${published} -j DNAT --to-destination ${to}`],
      ["filter", `-p ${protocol} --dport ${published} -j ACCEPT`],
      [
        "filter",
        `-p ${protocol} --sport ${published} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ],
    ];
  }
}

function insertFirst(iptables: Iptables, table: string, chain: string, rule: string): void {
  if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
  iptables.insert(table, chain, rule);
}
