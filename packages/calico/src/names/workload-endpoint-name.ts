/** What a workload endpoint's name is put together from (`libcalico-go/lib/names/workloadendpoint.go`). */
export interface WorkloadEndpointIdentifiers {
  readonly node: string;
  readonly orchestrator: string;
  readonly endpoint: string;
  /** Of the orchestrator `k8s`. */
  readonly pod?: string;
  /** Of the orchestrator `cni`. */
  readonly containerID?: string;
  /** Of any other orchestrator. */
  readonly workload?: string;
}

/** A part of a name that is missing, or would make it ambiguous. */
export class WorkloadEndpointNameError extends Error {
  override name = "WorkloadEndpointNameError";
}

/** `<node>-k8s-<pod>-<endpoint>`: dashes inside a part are doubled, so that the parts can be told apart again. @throws {@link WorkloadEndpointNameError} */
export function workloadEndpointName(ids: WorkloadEndpointIdentifiers): string {
  if (ids.node === "")
    throw new WorkloadEndpointNameError("error with field node (field should be assigned)");
  const parts: readonly (readonly [field: string, value: string])[] = [
    ["node", ids.node],
    ["orchestrator", ids.orchestrator],
    workloadPart(ids),
    ["endpoint", ids.endpoint],
  ];
  return parts.map(([field, value]) => escapePart(field, value)).join("-");
}

/** Takes a name apart; `undefined` if it is none of {@link workloadEndpointName}'s. */
export function parseWorkloadEndpointName(name: string): WorkloadEndpointIdentifiers | undefined {
  const [node, orchestrator, workload, endpoint, ...rest] = splitParts(name);
  if (
    node === undefined ||
    orchestrator === undefined ||
    workload === undefined ||
    endpoint === undefined ||
    rest.length > 0
  )
    return undefined;
  const ids = { node, orchestrator, endpoint };
  switch (orchestrator) {
    case "k8s":
      return { ...ids, pod: workload };
    case "cni":
      return { ...ids, containerID: workload };
    case "libnetwork":
      return ids;
    default:
      return { ...ids, workload };
  }
}

function workloadPart(ids: WorkloadEndpointIdentifiers): readonly [string, string] {
  switch (ids.orchestrator) {
    case "k8s":
      return ["pod", ids.pod ?? ""];
    case "cni":
      return ["containerID", ids.containerID ?? ""];
    case "libnetwork":
      return ["orchestrator", ids.orchestrator];
    default:
      return ["workload", ids.workload ?? ""];
  }
}

function escapePart(field: string, value: string): string {
  if (value === "") throw invalid(field, value, "field should be assigned");
  if (value.startsWith("-")) throw invalid(field, value, "field must not begin with a '-'");
  if (value.endsWith("-")) throw invalid(field, value, "field must not end with a '-'");
  return value.replaceAll("-", "--");
}

function splitParts(name: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 1; i < name.length; i++) {
    if (name[i] !== "-") continue;
    if (name[i + 1] === "-") {
      i++;
      continue;
    }
    parts.push(name.slice(start, i).replaceAll("--", "-"));
    start = i + 1;
  }
  parts.push(name.slice(start).replaceAll("--", "-"));
  return parts;
}

/** As libcalico-go words it (`libcalico-go/lib/errors/errors.go` ErrorValidation). */
function invalid(field: string, value: string, reason: string): WorkloadEndpointNameError {
  return new WorkloadEndpointNameError(`error with field ${field} = '${value}' (${reason})`);
}
