import type { Protocol } from "@cnilab/core";
import type { Workload } from "../connections/workloads.ts";
import { evaluate, type FlowVerdict } from "../policy/evaluate.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import { type PolicyView, withoutPodAddresses } from "../policy/policy-reader.ts";
import type { Call, Intent } from "./calls.ts";
import { CLUSTER_DNS } from "./cluster-dns.ts";

/** A call with what policies say of it. */
export interface CheckedCall {
  readonly call: Call;
  /** To each kind of pod behind the Service; a call works where all of these are allowed, and there is one. */
  readonly backends: readonly {
    readonly workload: Workload;
    readonly port: number;
    readonly verdict: FlowVerdict;
  }[];
  readonly works: boolean;
}

/** Whether a workload that calls others by name may ask the cluster's DNS. */
export interface CheckedLookup {
  readonly workload: Workload;
  readonly verdict: FlowVerdict;
}

export interface CheckedIntent {
  readonly calls: readonly CheckedCall[];
  readonly lookups: readonly CheckedLookup[];
}

/** What policies say of the inferred calls, and of the questions for names that go before them. */
export function checkCalls(
  { calls, services }: Intent,
  { policies, endpoint, settings }: PolicyView,
): CheckedIntent {
  const known = withoutPodAddresses(settings);
  const dns = endpoint(CLUSTER_DNS);
  const ask = (
    source: PolicyEndpoint,
    destination: PolicyEndpoint,
    protocol: Protocol,
    port: number,
  ) => evaluate(policies, { source, destination, protocol, port }, known);
  const checked = calls.map((call) => {
    const protocol = call.port.protocol ?? "TCP";
    const backends = services.backends(call.service, call.port).flatMap(({ workload, pod, port }) =>
      call.from.pods.map((source) => ({
        workload,
        port,
        verdict: ask(source, pod, protocol, port),
      })),
    );
    const works = backends.length > 0 && backends.every(({ verdict }) => verdict.allowed);
    return { call, backends, works };
  });
  const callers = [...new Set(calls.map(({ from }) => from))];
  const lookups = callers.map((workload) => ({
    workload,
    verdict: ask(workload.pods[0] as PolicyEndpoint, dns, "UDP", 53),
  }));
  return { calls: checked, lookups };
}
