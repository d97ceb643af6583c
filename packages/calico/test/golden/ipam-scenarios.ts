import { isDeepStrictEqual } from "node:util";
import type { Labels } from "@cnilab/core";
import { formatIp, parseIp } from "@cnilab/net";
import type { IPAMBlockSpec, IPPool, IPPoolAllowedUse } from "../../src/api/v3.ts";
import { releaseHostAffinities } from "../../src/ipam/affinities.ts";
import { addressAt, attributeAt } from "../../src/ipam/allocation-block.ts";
import { assignIp } from "../../src/ipam/assign-ip.ts";
import { AssignmentFailed, type Assignments, autoAssign } from "../../src/ipam/auto-assign.ts";
import { IpamError } from "../../src/ipam/ipam-error.ts";
import { ipamSettings } from "../../src/ipam/ipam-settings.ts";
import { poolOf } from "../../src/ipam/pool.ts";
import { releaseByHandle, releaseIps } from "../../src/ipam/release.ts";
import { type IpamSteps, runNow } from "../../src/ipam/steps.ts";
import { MemoryDatastore } from "../ipam/memory-datastore.ts";
import type { GoldenRun } from "./golden-run.ts";

interface PoolVector {
  readonly CIDR: string;
  readonly BlockSize: number;
  readonly Enabled: boolean;
  readonly NodeSelector: string;
  readonly NamespaceSelector: string;
  readonly AllowedUses: readonly IPPoolAllowedUse[] | null;
  readonly AssignmentMode: "" | "Automatic" | "Manual";
}

interface Operation {
  readonly op: string;
  readonly host?: string;
  readonly handle?: string;
  readonly num?: number;
  readonly version?: 4 | 6;
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly use?: IPPoolAllowedUse;
  readonly pools?: readonly string[];
  readonly namespace?: Labels;
  readonly maxBlocksPerHost?: number;
  readonly mustBeEmpty?: boolean;
}

interface Outcome {
  readonly result?: readonly string[];
  readonly msgs?: readonly string[];
  readonly error?: string;
  readonly notAllocated?: readonly string[];
}

interface BlockVector {
  readonly cidr: string;
  readonly affinity?: string;
  readonly used: Readonly<Record<string, string>>;
  readonly unallocated: readonly number[];
}

interface Scenario {
  readonly pools: Readonly<Record<string, PoolVector>> | null;
  readonly nodes: Readonly<Record<string, Labels | null>>;
  readonly config?: Readonly<Record<string, boolean | number | null>>;
  readonly reservations?: readonly string[];
  readonly ops: readonly (Operation & Outcome)[];
  readonly finalBlocks: readonly BlockVector[] | null;
  readonly finalAffinities: readonly string[] | null;
  readonly finalHandles: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** What IPAM says to each operation, and what it leaves behind. */
export const runIpamScenario: GoldenRun<Scenario> = (scenario) => {
  const datastore = datastoreOf(scenario);
  // Time goes on between two operations, as it does for the real one.
  let now = 0;
  const differences: string[] = [];
  const compare = (what: string, got: unknown, expected: unknown) => {
    if (isDeepStrictEqual(got, expected)) return;
    differences.push(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
  };
  for (const [i, op] of scenario.ops.entries()) {
    now += 1000;
    const outcome = perform(op, datastore, () => now);
    for (const field of ["result", "msgs", "error", "notAllocated"] as const) {
      compare(`ops[${i}] ${op.op} ${field}`, outcome[field], op[field]);
    }
  }
  compare("finalBlocks", blocksOf(datastore), sorted(scenario.finalBlocks ?? []));
  const affinities = datastore.storedAffinities.map(
    ({ type, node, cidr, state }) => `${type}:${node} ${cidr} ${state}`,
  );
  compare("finalAffinities", affinities.toSorted(), (scenario.finalAffinities ?? []).toSorted());
  compare("finalHandles", handlesOf(datastore), scenario.finalHandles);
  return differences.length === 0 ? undefined : differences.join("\n");
};

function datastoreOf({ pools, nodes, config, reservations = [] }: Scenario): MemoryDatastore {
  const datastore = new MemoryDatastore();
  const objects = Object.values(pools ?? {}).map(poolObject);
  datastore.poolList = objects.toSorted((x, y) => (x.spec.cidr < y.spec.cidr ? -1 : 1)).map(poolOf);
  for (const [name, labels] of Object.entries(nodes)) datastore.nodes.set(name, labels ?? {});
  datastore.reserved = reservations;
  if (config) datastore.settings = lowerCased(config) as never;
  return datastore;
}

function poolObject(pool: PoolVector): IPPool {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "IPPool",
    metadata: { name: pool.CIDR },
    spec: {
      cidr: pool.CIDR,
      blockSize: pool.BlockSize,
      disabled: !pool.Enabled,
      nodeSelector: pool.NodeSelector,
      namespaceSelector: pool.NamespaceSelector,
      ...(pool.AllowedUses !== null && { allowedUses: pool.AllowedUses }),
      ...(pool.AssignmentMode !== "" && { assignmentMode: pool.AssignmentMode }),
    },
  };
}

/** Fields as Go spells them, without those that are nothing. */
function lowerCased(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const fields = Object.entries(config).filter(([, value]) => value !== null);
  return Object.fromEntries(
    fields.map(([name, value]) => [name[0]?.toLowerCase() + name.slice(1), value]),
  );
}

function perform(op: Operation, datastore: MemoryDatastore, now: () => number): Outcome {
  const run = <T>(steps: IpamSteps<T>): T => runNow(steps, datastore);
  const owner = { ...(op.handle !== undefined && { handle: op.handle }), attributes: {} };
  const host = op.host as string;
  try {
    switch (op.op) {
      case "autoAssign":
        return outcomeOf(run(autoAssign(assignRequest(op), now)));
      case "assignIP":
        run(
          assignIp(
            { address: parseIp(op.ip as string), host, owner, use: op.use ?? "Workload" },
            now,
          ),
        );
        return {};
      case "releaseByHandle":
        run(releaseByHandle(op.handle as string, now));
        return {};
      case "release":
      case "releaseIPs": {
        const options = (op.ips ?? []).map((ip) => ({
          address: parseIp(ip),
          ...(op.handle !== undefined && { handle: op.handle }),
        }));
        const { notAllocated } = run(releaseIps(options, now));
        return notAllocated.length === 0 ? {} : { notAllocated: notAllocated.map(formatIp) };
      }
      case "releaseHostAffinities": {
        const settings = run(ipamSettings());
        const mustBeEmpty = op.mustBeEmpty === true;
        run(releaseHostAffinities({ type: "host", host }, settings, now, mustBeEmpty));
        return {};
      }
      default:
        throw new Error(`the operation ${op.op} is not known`);
    }
  } catch (error) {
    if (error instanceof AssignmentFailed) {
      return { ...outcomeOf(error.assignments), error: error.message };
    }
    if (error instanceof IpamError) return { error: error.message };
    throw error;
  }

  function assignRequest(request: Operation) {
    return {
      count: request.num ?? 1,
      family: request.version ?? 4,
      host,
      owner,
      use: request.use ?? "Workload",
      pools: (request.pools ?? []).map((cidr) => poolOf(poolObject({ CIDR: cidr } as never)).cidr),
      ...(request.namespace !== undefined && { namespaceLabels: request.namespace }),
      maxBlocksPerHost: request.maxBlocksPerHost ?? 0,
    } as const;
  }
}

function outcomeOf({ addresses, messages }: Assignments): Outcome {
  const result = addresses.map(({ address, length }) => `${formatIp(address)}/${length}`);
  return {
    ...(result.length > 0 && { result }),
    ...(messages.length > 0 && { msgs: messages }),
  };
}

function blocksOf(datastore: MemoryDatastore): BlockVector[] {
  return sorted(
    datastore.blocks().map(({ value }) => ({
      affinity: value.affinity ?? "",
      cidr: value.cidr,
      unallocated: value.unallocated.slice(0, 64),
      used: usedIn(value),
    })),
  );
}

function usedIn(block: IPAMBlockSpec): Record<string, string> {
  const used: Record<string, string> = {};
  for (let ordinal = 0; ordinal < block.allocations.length; ordinal++) {
    const attribute = attributeAt(block, ordinal);
    if (attribute === undefined) continue;
    used[formatIp(addressAt(block, ordinal))] =
      attribute.releasedAt === undefined ? (attribute.handle_id ?? "") : "<cooldown>";
  }
  return used;
}

function handlesOf(datastore: MemoryDatastore): Record<string, unknown> {
  return Object.fromEntries(datastore.handles().map(({ value }) => [value.handleID, value.block]));
}

function sorted(blocks: readonly BlockVector[]): BlockVector[] {
  return blocks.toSorted((x, y) => (x.cidr < y.cidr ? -1 : 1));
}
