import { BPF_ANY } from "@cnilab/linux";
import type { AgentPart } from "./agent-part.ts";
import type { CiliumAgent } from "./cilium-agent.ts";

/** Writes the ranges that see pods' own addresses into `cilium_ipmasq_v4` and 6, and takes others out (pkg/ipmasq/ipmasq.go). */
export class IpMasqAgent implements AgentPart {
  readonly name = "ip-masq-agent";
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {
    const { maps, config } = this.#agent;
    const cidrs = config.masquerade.nonMasqueradeCidrs ?? [];
    for (const family of config.families) {
      const map = maps.ipMasq(family);
      const wanted = cidrs.filter((cidr) => cidr.family === family);
      for (const [cidr] of [...map.entries()]) {
        if (!wanted.some((w) => w.equals(cidr))) map.delete(cidr);
      }
      for (const cidr of wanted) map.update(cidr, true, BPF_ANY);
    }
  }

  stop(): void {}
}
