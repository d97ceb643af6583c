import { InputError, type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network, Nic, Segment } from "@cnilab/linux";
import {
  addToIp,
  formatMac,
  type IpAddress,
  type IpFamily,
  type Mac,
  Prefix,
  tryParseIp,
} from "@cnilab/net";
import { DEFAULT_OPTIONS, parseFlanneldArgs } from "./conf/flanneld-options.ts";
import { JsonObject } from "./conf/json-object.ts";
import { parseNetConf } from "./conf/net-conf.ts";
import { Flanneld } from "./flanneld.ts";
import { annotationNames, isManaged, nodeToLease } from "./lease/annotations.ts";
import { type Lease, subnetKey } from "./lease/lease.ts";
import { type LeaseValue, parseStoredLease } from "./lease/lease-store.ts";
import { LeaseTable } from "./lease/lease-table.ts";
import { FlanneldError, type LeaseUpdate, type SubnetManager } from "./lease/subnet-manager.ts";
import { vtepMacOf } from "./lease/vtep.ts";

/** What one flanneld alone is given. */
export interface RenderInput {
  /** net-conf.json, as text or as the object that it stands for. */
  readonly netConf: string | object;
  /** As on flanneld's command line; as in the manifest for Kubernetes where it is absent. */
  readonly flanneldArgs?: readonly string[];
  readonly underlayMtu?: number;
  /** Leases by node; the node that is asked for must have one. */
  readonly leases: ReadonlyMap<string, Lease>;
}

/** What kube-flannel.yml starts flanneld with. */
const MANIFEST_ARGS: readonly string[] = ["--ip-masq", "--kube-subnet-mgr"];

/**
 * Runs one flanneld on a machine of its own, with nothing else on it but `eth0`, and returns the machine
 * when all is programmed.
 * @throws InputError for input that is wrong, FlanneldError where flanneld would give up
 */
export function renderFlannel(input: RenderInput, nodeName: string): Kernel {
  const lease = input.leases.get(nodeName);
  if (lease === undefined) {
    const known = [...input.leases.keys()].join(", ");
    throw new InputError(
      `there is no lease of ${nodeName}; there are leases of ${known}`,
      "--node",
    );
  }
  const conf = parseNetConf(input.netConf);
  const options = parseFlanneldArgs(input.flanneldArgs ?? MANIFEST_ARGS, DEFAULT_OPTIONS);
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const kernel = machine(
    new Kernel(new Network(clock, random), nodeName),
    lease,
    input.underlayMtu,
  );
  const flanneld = new Flanneld({
    netns: kernel.initNs,
    files: kernel.files,
    clock,
    random,
    conf,
    options,
    subnetManager: () => new GivenLeases(lease, input.leases.values()),
  });
  flanneld.start();
  if (flanneld.mtu === 0) throw new FlanneldError(flanneld.log.at(-1) ?? "flanneld did not start");
  clock.settle();
  return kernel;
}

/** Leases out of Node objects as the API server has them. */
export function leasesOfNodes(nodes: Iterable<Node>, netConf: string | object): Map<string, Lease> {
  const names = annotationNames(DEFAULT_OPTIONS.kubeAnnotationPrefix);
  const conf = parseNetConf(netConf);
  const leases = new Map<string, Lease>();
  for (const node of nodes) {
    const lease = isManaged(node, names) ? nodeToLease(node, names, conf) : undefined;
    if (lease !== undefined) leases.set(node.metadata.name, lease);
  }
  return leases;
}

/**
 * Reads what the golden vectors call `input.json`: `netConf`, `flanneldArgs`, `underlayMtu`, `nodes`
 * (addresses by name) and `leases` as etcd holds them. MACs may be written `<mac0>`, `<mac1>`…
 * @throws InputError
 */
export function readRenderInput(text: string, where: string): RenderInput {
  JsonObject.parse(text, where);
  const numbered = text.replace(/<mac(\d+)>/g, (_, n: string) => formatMac(FIRST_MAC + Number(n)));
  const raw = JSON.parse(numbered) as Partial<Record<string, unknown>>;
  const { netConf, flanneldArgs, underlayMtu, nodes, leases } = raw;
  if (typeof netConf !== "object" || netConf === null) throw missing("netConf", where);
  if (typeof nodes !== "object" || nodes === null) throw missing("nodes", where);
  if (typeof leases !== "object" || leases === null) throw missing("leases", where);
  const byAddress = new Map<IpAddress, Lease>();
  for (const [key, value] of Object.entries(leases)) {
    const lease = parseStoredLease(key, value as LeaseValue);
    if (lease?.attributes.publicIp === undefined)
      throw new InputError(`"${key}" is no lease`, where);
    byAddress.set(lease.attributes.publicIp, lease);
  }
  const named = new Map<string, Lease>();
  for (const [name, address] of Object.entries(nodes)) {
    const lease = byAddress.get(tryParseIp(String(address)) ?? 0);
    if (lease !== undefined) named.set(name, lease);
  }
  return {
    netConf,
    ...(Array.isArray(flanneldArgs) ? { flanneldArgs: flanneldArgs.map(String) } : {}),
    ...(typeof underlayMtu === "number" ? { underlayMtu } : {}),
    leases: named,
  };
}

function missing(key: string, where: string): InputError {
  return new InputError(`"${key}" is missing or no object`, where);
}

/** What stands for `<mac0>`. */
const FIRST_MAC: Mac = 0x020000000000;

/** Bits of the network that a node's `eth0` is on. */
const LINK_BITS: Readonly<Record<IpFamily, number>> = { 4: 24, 6: 64 };

/** `eth0` with the public addresses, and a router on the first address of its network. */
function machine(kernel: Kernel, { attributes }: Lease, mtu = 1500): Kernel {
  const { initNs } = kernel;
  initNs.loopback.setUp();
  const segment = new Segment(kernel.network, "underlay");
  const eth0 = new Nic(initNs, { name: "eth0", mtu, segment });
  eth0.setUp();
  for (const address of [attributes.publicIp, attributes.publicIpv6]) {
    if (address === undefined) continue;
    const link = new Prefix(address, LINK_BITS[typeof address === "number" ? 4 : 6]);
    eth0.addAddress(address, link.length);
    const all = new Prefix(address, 0);
    initNs.addRoute({ dst: all, via: addToIp(link.address, 1), dev: eth0 });
  }
  return kernel;
}

/** Leases that never change, the node's own among them. */
class GivenLeases implements SubnetManager {
  readonly #own: Lease;
  readonly #table: LeaseTable;

  constructor(own: Lease, leases: Iterable<Lease>) {
    this.#own = own;
    this.#table = new LeaseTable(new Map([...leases].map((lease) => [subnetKey(lease), lease])));
  }

  acquireLease(): Lease {
    return this.#own;
  }

  storedMac(family: IpFamily): Mac | undefined {
    return vtepMacOf(this.#own, family);
  }

  storedPublicIp(): IpAddress | undefined {
    return undefined;
  }

  watchLeases(report: (update: LeaseUpdate) => void): () => void {
    report({ table: this.#table, events: undefined });
    return () => {};
  }

  completeLease(): () => void {
    return () => {};
  }
}
