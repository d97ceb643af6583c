import { type HostFiles, type Machine, MemoryFiles, type Random } from "@cnilab/core";
import { localMac, type Mac } from "@cnilab/net";
import { BpfSubsystem } from "./bpf/bpf-subsystem.ts";
import type { Cgroup } from "./bpf/cgroup.ts";
import type { IcmpSockets } from "./ip/icmp-socket.ts";
import { KernelError } from "./kernel-error.ts";
import { NetNamespace } from "./net-namespace.ts";
import type { Network } from "./network.ts";

/**
 * How far conntrack makes up for two packets of one UDP socket that race for one entry. `insert`, as today's kernels: both live, also
 * where NAT gave them two destinations (commit 6a757c07e51f, 2020). `matching`: the loser joins the winner if NAT gave both the same
 * tuples, and is dropped otherwise (ed07d9a021df, 2018). `untranslated`: it is dropped wherever there is NAT (71d8c47fc653, 2016).
 */
export type ClashResolution = "insert" | "matching" | "untranslated";

/**
 * One machine: its network namespaces and its few files. It runs Linux, unless it is a subclass of another package
 * that has more than this package's TCP/IP stacks.
 */
export class Kernel implements Machine {
  readonly os: Machine["os"] = "linux";
  readonly network: Network;
  readonly hostname: string;
  readonly files: HostFiles = new MemoryFiles();
  /** This machine's own randomness, as `statistic`, port selection and MACs use it. */
  readonly random: Random;
  #hashSeed: number | undefined;
  /** Whether the br_netfilter module is loaded; kubeadm's preflight checks demand it. */
  brNetfilter = true;
  /** What becomes of the loser of a race for one UDP connection's entry. */
  clashResolution: ClashResolution = "insert";
  /**
   * Whether a TCP reset that answers for a socket belongs to that for rules that ask for owners, as since Linux 6.13
   * (commit 79636038d37e): before, to none that a program has.
   */
  resetsHaveOwner = false;
  /**
   * Whether some namespace of the machine has a rule that sets `nftrace` (TRACE): then chains of nf_tables, iptables-nft's
   * too, hash every packet, so that NAT behind them changes no tunnel's source port (`nft_trace_init` where the key
   * `nft_trace_enabled` is on). Rules of the model itself do not turn it on.
   */
  nftTracing = false;
  readonly icmpSockets: IcmpSockets = { 4: false, 6: false };
  /** The namespace that the machine boots with. */
  readonly initNs: NetNamespace;
  /** The root of cgroup2, once somebody has put a program into a control group. */
  cgroup: Cgroup | undefined = undefined;
  readonly #namespaces = new Map<string, NetNamespace>();
  #bpf: BpfSubsystem | undefined;

  constructor(network: Network, hostname: string) {
    if (network.kernels.has(hostname)) {
      throw new KernelError("EEXIST", `there is a machine named ${hostname}`);
    }
    this.network = network;
    this.hostname = hostname;
    this.random = network.random.fork(hostname);
    this.initNs = new NetNamespace(this, "");
    network.kernels.set(hostname, this);
  }

  /** All namespaces but the initial one, oldest first. */
  get namespaces(): Iterable<NetNamespace> {
    return this.#namespaces.values();
  }

  /** `ip netns add`. @throws KernelError EEXIST */
  addNamespace(name: string): NetNamespace {
    if (this.#namespaces.has(name)) throw new KernelError("EEXIST", `netns ${name}`);
    const netns = new NetNamespace(this, name);
    this.#namespaces.set(name, netns);
    return netns;
  }

  /** A namespace by its name or by its `/run/netns/…` path. */
  findNamespace(nameOrPath: string): NetNamespace | undefined {
    return this.#namespaces.get(nameOrPath.replace(/^\/(var\/)?run\/netns\//, ""));
  }

  /** `ip netns del`: its devices go with it, and the other ends of its veths. */
  deleteNamespace(netns: NetNamespace): void {
    if (!this.#namespaces.delete(netns.name))
      throw new KernelError("ENOENT", `netns ${netns.name}`);
    for (const dev of [...netns.devices].reverse()) dev.remove();
    this.network.touch();
  }

  /** Maps, programs and cgroups, made on demand. */
  get bpf(): BpfSubsystem {
    this.#bpf ??= new BpfSubsystem(this);
    return this.#bpf;
  }

  findBpf(): BpfSubsystem | undefined {
    return this.#bpf;
  }

  /** What keys the hashes of flows since this machine's start (net/core/flow_dissector.c `hashrnd`). */
  get hashSeed(): number {
    this.#hashSeed ??= this.network.random.fork(`${this.hostname} hash`).uint32();
    return this.#hashSeed;
  }

  /** A random unicast, locally administered MAC, as `eth_random_addr` makes it. */
  randomMac(): Mac {
    return localMac((this.random.uint32() % 0x10000) * 2 ** 32 + this.random.uint32());
  }

  /** Takes the machine off the network, with all it has. */
  remove(): void {
    for (const netns of [...this.#namespaces.values()]) this.deleteNamespace(netns);
    for (const dev of [...this.initNs.devices].reverse()) dev.remove();
    this.network.kernels.delete(this.hostname);
    this.network.touch();
  }
}
