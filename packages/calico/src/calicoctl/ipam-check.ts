import type { ApiClient, Node, Pod } from "@cnilab/core";
import { formatIp, type Prefix, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import type { AllocationAttribute, IPAMBlockSpec } from "../api/v3.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";
import { hasWorkloadEndpoint, workloadEndpointOf } from "../conversion/workload-endpoint.ts";
import {
  addressAt,
  attributeAt,
  sequenceNumberOf,
  WINDOWS_RESERVED_HANDLE,
} from "../ipam/allocation-block.ts";
import { blockProblem } from "../ipam/block-problem.ts";
import type { IpamClient } from "../ipam/ipam-client.ts";

/** An address that is handed out, compared with who uses it (calicoctl/calicoctl/commands/ipam/check.go Allocation). */
export interface CheckedAllocation {
  readonly ip: string;
  readonly handle?: string;
  readonly sequenceNumber: number;
  readonly pod?: string;
  readonly namespace?: string;
  readonly node?: string;
  readonly type?: string;
  readonly creationTimestamp?: string;
  readonly inUse: boolean;
  readonly borrowed?: boolean;
  readonly coolingDown?: boolean;
  readonly owners: readonly string[] | null;
}

export interface IpamCheck {
  /** What calicoctl prints. */
  readonly text: string;
  readonly problems: number;
  /** What it writes with `-o`. */
  readonly report: {
    readonly version: string;
    readonly allocations: Readonly<Record<string, readonly CheckedAllocation[]>>;
    readonly leakedHandles?: readonly { readonly ID: string; readonly Revision: string }[];
  };
}

export interface IpamCheckOptions {
  readonly showAllIps: boolean;
  readonly showProblemIps: boolean;
  readonly version: string;
  /** Virtual milliseconds. */
  readonly now: number;
}

const NODES_TO_PRINT = 20;

/**
 * `calicoctl ipam check`: whether what IPAM has handed out and what nodes and pods use are the same. Where the real one goes through a map,
 * in whatever order that has, this goes by name.
 */
export function checkIpam(
  api: ApiClient,
  client: IpamClient,
  options: IpamCheckOptions,
): IpamCheck {
  return new Checker(api, client, options).check();
}

/** An allocation under examination. */
interface Found {
  readonly block: IPAMBlockSpec;
  readonly ordinal: number;
  readonly attribute: AllocationAttribute;
  readonly node: string;
  readonly borrowed: boolean;
}

class Checker {
  readonly #api: ApiClient;
  readonly #client: IpamClient;
  readonly #options: IpamCheckOptions;
  readonly #lines: string[] = [];
  readonly #allocations = new Map<string, Found[]>();
  readonly #countByNode = new Map<string, number>();
  /** Users of each address. */
  readonly #inUse = new Map<string, string[]>();
  readonly #handlesInUse = new Set<string>();
  #problems = 0;

  constructor(api: ApiClient, client: IpamClient, options: IpamCheckOptions) {
    this.#api = api;
    this.#client = client;
    this.#options = options;
  }

  get #showsProblems(): boolean {
    return this.#options.showAllIps || this.#options.showProblemIps;
  }

  check(): IpamCheck {
    this.#say("Checking IPAM for inconsistencies...", "");
    const blocks = this.#client.datastore.blocks().map(({ value }) => value);
    this.#loadBlocks(blocks);
    const pools = this.#loadPools();
    this.#loadNodes();
    this.#say("Loading all service load balancer IPs.");
    this.#say("No configuration for LoadBalancer kubecontroller found, skipping service check", "");
    this.#loadWorkloadEndpoints();
    this.#say("Loading all handles");
    const handles = new Map(
      this.#client.datastore.handles().map(({ value, revision }) => [value.handleID, revision]),
    );
    this.#tellTopNodes();
    this.#findLeakedAddresses();
    this.#findUnknownAddresses(pools);
    const leaked = this.#findLeakedHandles(handles);
    this.#findMissingHandles(handles);
    this.#validate(blocks);
    this.#say(`Check complete; found ${this.#problems} problems.`);
    return {
      text: this.#lines.join("\n"),
      problems: this.#problems,
      report: {
        version: this.#options.version,
        allocations: this.#reportAllocations(),
        ...(leaked.length > 0 && {
          leakedHandles: leaked.map((id) => ({ ID: id, Revision: handles.get(id) ?? "" })),
        }),
      },
    };
  }

  #say(...lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  #loadBlocks(blocks: readonly IPAMBlockSpec[]): void {
    this.#say("Loading all IPAM blocks...", `Found ${blocks.length} IPAM blocks.`);
    let count = 0;
    for (const block of blocks) {
      this.#say(` IPAM block ${block.cidr} affinity=${block.affinity ?? "<none>"}:`);
      for (let ordinal = 0; ordinal < block.allocations.length; ordinal++) {
        const attribute = attributeAt(block, ordinal);
        if (attribute === undefined) continue;
        count++;
        this.#record(block, ordinal, attribute);
      }
    }
    this.#say(`IPAM blocks record ${count} allocations.`, "");
  }

  #record(block: IPAMBlockSpec, ordinal: number, attribute: AllocationAttribute): void {
    const ip = formatIp(addressAt(block, ordinal));
    const affinity = block.affinity ?? "";
    const owner = affinity.startsWith("host:") ? affinity.slice("host:".length) : "";
    const node = attribute.secondary?.["node"] || owner;
    const { handle_id } = attribute;
    if (handle_id === WINDOWS_RESERVED_HANDLE) this.#use(ip, "Reserved for Windows");
    else if (handle_id !== undefined) this.#handlesInUse.add(handle_id);
    const found: Found = { block, ordinal, attribute, node, borrowed: node !== owner };
    const there = this.#allocations.get(ip);
    if (there === undefined) this.#allocations.set(ip, [found]);
    else there.push(found);
    this.#countByNode.set(node, (this.#countByNode.get(node) ?? 0) + 1);
    if (this.#options.showAllIps) this.#say(`  ${ip} allocated; attrs ${attributeText(attribute)}`);
  }

  #use(ip: string, by: string): void {
    if (this.#options.showAllIps) this.#say(`  ${ip} belongs to ${by}`);
    const users = this.#inUse.get(ip);
    if (users === undefined) this.#inUse.set(ip, [by]);
    else users.push(by);
  }

  #loadPools(): readonly Prefix[] {
    this.#say("Loading all IPAM pools...");
    const active = this.#client.datastore.pools().filter(({ disabled }) => !disabled);
    for (const { cidr } of active) this.#say(`  ${cidr}`);
    this.#say(`Found ${active.length} active IP pools.`, "");
    return active.map(({ cidr }) => cidr);
  }

  #loadNodes(): void {
    this.#say("Loading all nodes.");
    let count = 0;
    for (const node of byName(this.#api.list("Node"))) {
      for (const ip of tunnelAddressesOf(node)) {
        this.#use(ip, `Node(${node.metadata.name})`);
        count++;
      }
    }
    this.#say(`Found ${count} node tunnel IPs.`, "");
  }

  #loadWorkloadEndpoints(): void {
    this.#say("Loading all workload endpoints.");
    let count = 0;
    for (const pod of byName(this.#api.list("Pod")) as readonly Pod[]) {
      if (!hasWorkloadEndpoint(pod)) continue;
      const { metadata, spec } = workloadEndpointOf(pod);
      for (const network of spec.ipNetworks) {
        this.#use(addressText(network), `Workload(${metadata.namespace}/${metadata.name})`);
        count++;
      }
    }
    this.#say(
      `Found ${count} workload IPs.`,
      `Workloads and nodes are using ${this.#inUse.size} IPs.`,
      "",
    );
  }

  #tellTopNodes(): void {
    this.#say(`Looking for top (up to ${NODES_TO_PRINT}) nodes by allocations...`);
    const nodes = [...this.#countByNode].toSorted(
      ([x, some], [y, others]) => others - some || (x < y ? -1 : 1),
    );
    for (const [node, count] of nodes.slice(0, NODES_TO_PRINT)) {
      this.#say(`  ${node} has ${count} allocations`);
    }
    const most = nodes[0]?.[1];
    if (most !== undefined) {
      const median = nodes[Math.floor(nodes.length / 2)]?.[1];
      this.#say(`Node with most allocations has ${most}; median is ${median}`);
    }
    this.#say("");
  }

  #findLeakedAddresses(): void {
    this.#say("Scanning for IPs that are allocated but not actually in use...");
    let count = 0;
    for (const [ip, found] of this.#allocations) {
      if (this.#inUse.has(ip)) continue;
      if (found.some(({ attribute }) => attribute.releasedAt !== undefined)) continue;
      count++;
      if (!this.#showsProblems) continue;
      for (const { attribute } of found) {
        this.#say(`  ${ip} leaked; attrs ${attributeText(attribute)}`);
      }
    }
    this.#problems += count;
    this.#say(`Found ${count} IPs that are allocated in IPAM but not actually in use.`);
  }

  #findUnknownAddresses(pools: readonly Prefix[]): void {
    this.#say(
      "Scanning for IPs that are in use by a workload or node but not allocated in IPAM...",
    );
    let outside = 0;
    let inside = 0;
    for (const [ip, users] of this.#inUse) {
      if (this.#showsProblems && users.length > 1) this.#say(`  ${ip} has multiple owners.`);
      if (this.#allocations.has(ip)) continue;
      const address = tryParseIp(ip);
      const isInPool = address !== undefined && pools.some((pool) => pool.contains(address));
      const what = isInPool
        ? "and in active IPAM pool but has no IPAM allocation."
        : "is not in any active IP pool.";
      if (this.#showsProblems)
        for (const user of users) this.#say(`  ${ip} in use by ${user} ${what}`);
      if (isInPool) inside++;
      else outside++;
    }
    this.#problems += outside + inside;
    this.#say(
      `Found ${outside} in-use IPs that are not in active IP pools.`,
      `Found ${inside} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.`,
      "",
    );
  }

  #findLeakedHandles(handles: ReadonlyMap<string, string>): string[] {
    this.#say("Scanning for IPAM handles with no matching IPs...");
    const leaked = [...handles.keys()].filter((id) => !this.#handlesInUse.has(id));
    if (this.#options.showAllIps) {
      for (const id of leaked) this.#say(`  ${id} doesn't have any active IPs.`);
    }
    this.#problems += leaked.length;
    this.#say(
      `Found ${leaked.length} handles with no matching IPs (and ${handles.size - leaked.length} handles with matches).`,
    );
    return leaked;
  }

  /** Told of, and not counted among the problems. */
  #findMissingHandles(handles: ReadonlyMap<string, string>): void {
    this.#say("Scanning for IPs with missing handle...");
    const missing = [...this.#handlesInUse].filter((id) => !handles.has(id));
    if (this.#showsProblems) {
      for (const id of missing) this.#say(`  ${id} is in use in a block but doesn't exist.`);
    }
    this.#say(
      `Found ${missing.length} handles mentioned in blocks with no matching handle resource.`,
    );
  }

  #validate(blocks: readonly IPAMBlockSpec[]): void {
    this.#say("Validating IPAMBlock structures...");
    let count = 0;
    for (const block of blocks) {
      const problem = blockProblem(block, this.#options.now);
      if (problem === undefined) continue;
      count++;
      this.#say(`  IPAMBlock BlockKey(cidr=${block.cidr}) is invalid: ${problem}`);
    }
    this.#problems += count;
    this.#say(`Found ${count} invalid IPAMBlocks.`);
  }

  #reportAllocations(): Record<string, CheckedAllocation[]> {
    const report: Record<string, CheckedAllocation[]> = {};
    for (const [ip, found] of this.#allocations) {
      report[ip] = found.map((allocation) => this.#reportOf(ip, allocation));
    }
    return report;
  }

  #reportOf(ip: string, { block, ordinal, attribute, node, borrowed }: Found): CheckedAllocation {
    const { pod, namespace, type, timestamp } = attribute.secondary ?? {};
    const owners = this.#inUse.get(ip);
    const handle =
      attribute.handle_id === WINDOWS_RESERVED_HANDLE ? undefined : attribute.handle_id;
    return {
      ip,
      ...(handle !== undefined && { handle }),
      sequenceNumber: sequenceNumberOf(block, ordinal),
      ...(pod && { pod }),
      ...(namespace && { namespace }),
      ...(node !== "" && { node }),
      ...(type && { type }),
      ...(timestamp && { creationTimestamp: timestamp }),
      inUse: owners !== undefined,
      ...(borrowed && { borrowed }),
      ...(attribute.releasedAt !== undefined && { coolingDown: true }),
      owners: owners ?? null,
    };
  }
}

/** Those that the real one looks for; the one of VXLAN over IPv6 is not among them. */
function tunnelAddressesOf({ metadata }: Node): string[] {
  const { annotations = {} } = metadata;
  return [
    annotations[NODE_ANNOTATIONS.ipv4VxlanTunnelAddr],
    annotations[NODE_ANNOTATIONS.ipv4WireguardInterfaceAddr],
    annotations[NODE_ANNOTATIONS.ipv4IpipTunnelAddr],
  ]
    .filter((text) => text !== undefined && text !== "")
    .map((text) => addressText(text as string));
}

/** An address, with a prefix length behind it or without, as Go prints it. */
function addressText(text: string): string {
  const address = tryParseIp(text) ?? tryParseInterfaceAddress(text)?.address;
  return address === undefined ? text : formatIp(address);
}

function attributeText({ handle_id, secondary, alternateOwnerAttrs }: AllocationAttribute): string {
  const text = `Main:${handle_id ?? "<none>"} Extra:${pairs(secondary)}`;
  const alternate = pairs(alternateOwnerAttrs);
  return alternate === "" ? text : `${text} Alternate:${alternate}`;
}

function pairs(attributes: Readonly<Record<string, string>> = {}): string {
  const keys = Object.keys(attributes).toSorted();
  return keys.map((key) => `${key}=${attributes[key]}`).join(",");
}

function byName<T extends Node | Pod>(objects: readonly T[]): readonly T[] {
  const key = ({ metadata }: T) => `${metadata.namespace ?? ""}/${metadata.name}`;
  return objects.toSorted((x, y) => (key(x) < key(y) ? -1 : 1));
}
