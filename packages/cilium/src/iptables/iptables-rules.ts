import type { IpFamily, Prefix } from "@cnilab/net";
import type { AgentPart } from "../agent/agent-part.ts";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import { ClusterNodeRoutes } from "../agent/cluster-node-routes.ts";
import { snatExclusion } from "../agent/node-config.ts";
import { ciliumChains, type MasqueradeRules } from "./cilium-chains.ts";
import { ensureSet, NODE_SET, NodeSets } from "./node-set.ts";

/** The agent's chains of iptables (pkg/datapath/iptables). They stay when it stops. */
export class IptablesRules implements AgentPart {
  readonly name = "iptables";
  readonly #agent: CiliumAgent;
  #end: (() => void) | undefined;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {
    for (const family of this.#agent.config.families) this.#install(family);
    if (!this.#needsNodeSet) return;
    const { cluster, kernel, config } = this.#agent;
    this.#end = cluster.part(ClusterNodeRoutes).listen((now) => {
      for (const family of config.families) cluster.part(NodeSets).fill(kernel.initNs, family, now);
    });
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** pkg/option/config.go NodeIpsetNeeded */
  get #needsNodeSet(): boolean {
    const { routing, masquerade } = this.#agent.config;
    return routing.mode === "native" && !masquerade.bpf && (masquerade.ipv4 || masquerade.ipv6);
  }

  #install(family: IpFamily): void {
    const { config, kernel } = this.#agent;
    const netns = kernel.initNs;
    if (this.#needsNodeSet) ensureSet(netns, family);
    const iptables = netns.iptables(family);
    const text = ciliumChains(
      {
        family,
        tunnel: config.routing.mode === "tunnel",
        endpointRoutes: config.routing.endpointRoutes,
        randomFully: config.masquerade.randomFully,
        noTrack: this.#noTrack(family),
        masquerade: this.#masquerade(family),
      },
      (table, feeder) => iptables.save(table).includes(`${feeder}\n`),
    );
    iptables.restore(text, { noflush: true });
  }

  #noTrack(family: IpFamily): Prefix | undefined {
    const { routing } = this.#agent.config;
    return routing.noConntrackRules && family === 4 ? routing.nativeCidr[4] : undefined;
  }

  #masquerade(family: IpFamily): MasqueradeRules | undefined {
    const { config, allocation } = this.#agent;
    const { masquerade } = config;
    if (masquerade.bpf || !(family === 4 ? masquerade.ipv4 : masquerade.ipv6)) return undefined;
    const allocRange = allocation.ranges.find((r) => r.family === family);
    const source = this.#agent.router(family);
    const exclusion = snatExclusion(config, allocation, family);
    if (allocRange === undefined || source === undefined || exclusion === undefined)
      return undefined;
    return {
      allocRange,
      exclusion,
      source,
      nodeSet: this.#needsNodeSet ? NODE_SET[family] : undefined,
    };
  }
}
