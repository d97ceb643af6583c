import { InputError, type Labels } from "@cnilab/core";
import { type IpAddress, type Prefix, tryParsePrefix } from "@cnilab/net";
import type { AssignmentMode, IPPool, IPPoolAllowedUse } from "../api/v3.ts";
import { parseSelector, type Selector } from "../selector/selector.ts";

/** An IPPool with its defaults filled in (`libcalico-go/lib/clientv3/ippool.go`) and its selectors read. */
export interface Pool {
  readonly name: string;
  readonly cidr: Prefix;
  readonly blockSize: number;
  readonly disabled: boolean;
  readonly assignmentMode: AssignmentMode;
  readonly allowedUses: readonly IPPoolAllowedUse[];
  readonly nodeSelector: Selector | undefined;
  readonly namespaceSelector: Selector | undefined;
}

export const DEFAULT_BLOCK_SIZE: Readonly<Record<4 | 6, number>> = { 4: 26, 6: 122 };
const DEFAULT_USES: readonly IPPoolAllowedUse[] = ["Workload", "Tunnel"];

const known = new WeakMap<IPPool, Pool>();

/** Read once for each object. @throws InputError where its CIDR is none; SelectorError */
export function poolOf(object: IPPool): Pool {
  let pool = known.get(object);
  if (pool === undefined) {
    pool = readPool(object);
    known.set(object, pool);
  }
  return pool;
}

function readPool({ metadata, spec }: IPPool): Pool {
  const cidr = tryParsePrefix(spec.cidr);
  if (cidr === undefined) {
    throw new InputError(`spec.cidr "${spec.cidr}" is not a prefix`, `IPPool ${metadata.name}`);
  }
  return {
    name: metadata.name,
    cidr,
    blockSize: spec.blockSize || DEFAULT_BLOCK_SIZE[cidr.family],
    disabled: spec.disabled === true,
    assignmentMode: spec.assignmentMode || "Automatic",
    allowedUses: spec.allowedUses?.length ? spec.allowedUses : DEFAULT_USES,
    nodeSelector: spec.nodeSelector ? parseSelector(spec.nodeSelector) : undefined,
    namespaceSelector: spec.namespaceSelector ? parseSelector(spec.namespaceSelector) : undefined,
  };
}

/** Whether a pool is for a node with these labels. */
export function selectsNode({ nodeSelector }: Pool, labels: Labels): boolean {
  return nodeSelector === undefined || nodeSelector.matches(new Map(Object.entries(labels)));
}

/** Whether a pool is for pods of a namespace with these labels. */
export function selectsNamespace({ namespaceSelector }: Pool, labels: Labels): boolean {
  if (namespaceSelector === undefined) return true;
  return namespaceSelector.matches(new Map(Object.entries(labels)));
}

/** The first pool that an address is in. */
export function poolOfAddress(pools: readonly Pool[], address: IpAddress): Pool | undefined {
  return pools.find(({ cidr }) => cidr.contains(address));
}
