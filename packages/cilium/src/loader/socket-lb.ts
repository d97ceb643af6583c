import type { BpfLink } from "@cnilab/linux";
import type { AgentPart } from "../agent/agent-part.ts";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import { socketPrograms } from "../datapath/sock/socket-programs.ts";

/** Links as bpffs has them (`/sys/fs/bpf/cilium/socketlb/links/cgroup`), by machine and hook. */
const PINNED = new WeakMap<
  object,
  Map<string, BpfLink<"cgroup_sock_addr"> | BpfLink<"cgroup_sock">>
>();

/** Puts the programs of the socket load balancer on the root of cgroup2, or takes them off (pkg/socketlb). They stay when the agent stops. */
export class SocketLb implements AgentPart {
  readonly name = "socket-lb";
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {
    const { kernel, programs } = this.#agent;
    const { addresses, sockets } = socketPrograms(programs);
    const there = PINNED.get(kernel) ?? new Map();
    if (there.size === 0 && addresses.size === 0) return;
    PINNED.set(kernel, there);
    const { cgroup } = kernel.bpf;
    for (const [hook, program] of addresses) {
      const link = there.get(hook);
      if (link === undefined) there.set(hook, cgroup.attach(hook, program));
      else link.update(program);
    }
    for (const [hook, program] of sockets) {
      const link = there.get(hook);
      if (link === undefined) there.set(hook, cgroup.attach(hook, program));
      else link.update(program);
    }
    const wanted = new Set<string>([...addresses.keys(), ...sockets.keys()]);
    for (const [hook, link] of [...there]) {
      if (wanted.has(hook)) continue;
      link.detach();
      there.delete(hook);
    }
  }

  stop(): void {}
}
