import type { Kernel } from "../kernel.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { AnyBpfMap } from "./bpf-map.ts";
import { Cgroup } from "./cgroup.ts";

/**
 * What eBPF keeps for one machine: its maps, with their numbers. They outlive the agent that made them,
 * as those do that are pinned.
 */
export class BpfSubsystem {
  /** Maps by number. */
  readonly maps: Map<number, AnyBpfMap> = new Map();
  /** Look-ups of all programs so far. */
  lookups = 0;
  /** Devices that packets are being redirected through at this moment (`dev_xmit_recursion`). */
  redirects = 0;
  readonly #kernel: Kernel;
  #nextMap = 1;
  #nextProgram = 1;
  #nextCookie = 1;
  #netnsCookies: WeakMap<NetNamespace, number> | undefined;
  /** The initial namespace has 1. */
  #nextNetnsCookie = 2;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The control group that all programs of the machine are in, made on demand. */
  get cgroup(): Cgroup {
    const { network } = this.#kernel;
    this.#kernel.cgroup ??= new Cgroup("/", undefined, () => network.touch());
    return this.#kernel.cgroup;
  }

  /** `mkdir` below the root of cgroup2. */
  addCgroup(path: string, parent: Cgroup = this.cgroup): Cgroup {
    const { network } = this.#kernel;
    return new Cgroup(path, parent, () => network.touch());
  }

  addMap(map: AnyBpfMap): number {
    const id = this.#nextMap++;
    this.maps.set(id, map);
    return id;
  }

  /** Of a program that is being loaded: it is there as long as a hook or a map has it. */
  nextProgramId(): number {
    return this.#nextProgram++;
  }

  /** Nobody refers to the map any more. */
  removeMap(map: AnyBpfMap): void {
    this.maps.delete(map.id);
  }

  /** A number that no socket has had (`sock_gen_cookie`). */
  nextSocketCookie(): number {
    return this.#nextCookie++;
  }

  /** A namespace's number; the initial one has 1 (`bpf_get_netns_cookie`). */
  netnsCookie(netns: NetNamespace): number {
    this.#netnsCookies ??= new WeakMap([[netns.kernel.initNs, 1]]);
    let cookie = this.#netnsCookies.get(netns);
    if (cookie === undefined) {
      cookie = this.#nextNetnsCookie++;
      this.#netnsCookies.set(netns, cookie);
    }
    return cookie;
  }
}
