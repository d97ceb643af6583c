import {
  type ChainBackend,
  type EndpointChainPrefix,
  endpointChainName,
  ipSetName,
  isStaged,
  lengthLimitedId,
  type PolicyDirection,
  type PolicyId,
  type PolicyKind,
  policyChainName,
  policyGroupChainName,
  policyIdText,
  profileChainName,
  tempIpSetName,
  uniqueId,
  vethName,
  WorkloadEndpointNameError,
  workloadEndpointName,
} from "../../src/index.ts";
import type { GoldenRun } from "./golden-run.ts";

interface GoPolicyId {
  readonly Name: string;
  readonly Namespace: string;
  readonly Kind: string;
}

/** A line of `names.ndjson`: a kind of name, what it is made from, and `out`; what a kind does not need is not there. */
interface NameVector {
  readonly kind: string;
  readonly out: unknown;
  readonly namespace: string;
  readonly pod: string;
  readonly id: string;
  readonly policy: GoPolicyId;
  readonly iface: string;
  readonly inlined: boolean;
  readonly group: {
    readonly selector: string;
    readonly direction: PolicyDirection;
    readonly policies: readonly GoPolicyId[];
  };
  readonly prefix: string;
  readonly suffix: string;
  readonly max: number;
  readonly content: string;
  readonly error: string;
  readonly in: Readonly<
    Record<"Node" | "Orchestrator" | "Endpoint" | "Pod" | "ContainerID" | "Workload", string>
  >;
}

/** Each kind of name, made again. */
const MAKERS: Readonly<Record<string, (v: NameVector) => unknown>> = {
  vethName: (v) => vethName(v.namespace, v.pod),
  ipsetName: (v) => ({ v4: ipSetName(v.id, 4), v6: ipSetName(v.id, 6) }),
  tempIpsetName: (v) => ({
    v4: tempIpSetName(Number(v.id), 4),
    v6: tempIpSetName(Number(v.id), 6),
  }),
  policyChain: (v) =>
    policyIdText(policyId(v.policy)) === v.id
      ? inAndOut((direction, backend) => policyChainName(policyId(v.policy), direction, backend))
      : policyIdText(policyId(v.policy)),
  profileChain: (v) => inAndOut((direction, backend) => profileChainName(v.id, direction, backend)),
  endpointChain: (v) =>
    Object.fromEntries(
      Object.keys(v.out as object).map((p) => [
        p,
        endpointChainName(p as EndpointChainPrefix, v.iface, "iptables"),
      ]),
    ),
  policyGroupChain: (v) => {
    const policies = v.group.policies.map(policyId);
    const inlined = policies.filter((p) => !isStaged(p.kind)).length < 2;
    return inlined === v.inlined
      ? policyGroupChainName(v.group.selector, v.group.direction, policies)
      : { inlined };
  },
  lengthLimitedId: (v) => lengthLimitedId(v.prefix, v.suffix, v.max),
  uniqueId: (v) => uniqueId(v.prefix, v.content),
  workloadEndpointName: (v) => {
    const { Node, Orchestrator, Endpoint, Pod, ContainerID, Workload } = v.in;
    const ids = {
      node: Node,
      orchestrator: Orchestrator,
      endpoint: Endpoint,
      pod: Pod,
      containerID: ContainerID,
      workload: Workload,
    };
    try {
      return v.error === "" ? workloadEndpointName(ids) : { noError: workloadEndpointName(ids) };
    } catch (error) {
      if (!(error instanceof WorkloadEndpointNameError)) throw error;
      return error.message === v.error ? v.out : error.message;
    }
  },
};

/** Names as the real code makes them. */
export const names: GoldenRun<NameVector> = (vector) => {
  const made = MAKERS[vector.kind]?.(vector);
  const [want, got] = [sorted(vector.out), sorted(made)];
  return want === got ? undefined : `${vector.kind}: want ${want}\ngot ${got}`;
};

function inAndOut(
  name: (direction: PolicyDirection, backend: ChainBackend) => string,
): Readonly<Record<string, string>> {
  return {
    iptIn: name("inbound", "iptables"),
    iptOut: name("outbound", "iptables"),
    nftIn: name("inbound", "nftables"),
    nftOut: name("outbound", "nftables"),
  };
}

function policyId({ Name, Namespace, Kind }: GoPolicyId): PolicyId {
  const kind = Kind as PolicyKind;
  return Namespace === "" ? { name: Name, kind } : { name: Name, namespace: Namespace, kind };
}

function sorted(value: unknown): string {
  return typeof value === "object" && value !== null
    ? JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : JSON.stringify(value);
}
