import { type KubeObject, kindOf, objectKey } from "@cnilab/core";
import {
  KUBERNETES_POLICIES,
  type PolicyReader,
  type PolicyView,
  policyName,
} from "@cnilab/network-policy";
import type { ClusterFlags } from "./cluster-flags.ts";
import { allModels, loadModel } from "./load-model.ts";
import type { ProgramIo } from "./program-io.ts";

/** Who reads the policies: the CNI where it enforces them and has a reading of its own. @throws InputError for an unknown CNI */
export async function policyReader(
  io: ProgramIo,
  { cni, policy = "cni" }: Partial<Pick<ClusterFlags, "cni" | "policy">>,
): Promise<PolicyReader> {
  const model = cni === undefined || policy !== "cni" ? undefined : await loadModel(io, cni);
  return model?.policyReader ?? KUBERNETES_POLICIES;
}

/** What of the policies among some objects is left out of an answer. */
export async function policyWarnings(
  objects: readonly KubeObject[],
  reader: PolicyReader,
  view: PolicyView,
): Promise<readonly string[]> {
  const ignored = view.ignored.map(
    ({ object, reason }) => `${policyName({ object })} is left out: ${reason}`,
  );
  return [...ignored, ...(await unread(objects, reader))];
}

/** Kinds that the reader does not know, and that of one of our CNIs does. */
async function unread(
  objects: readonly KubeObject[],
  reader: PolicyReader,
): Promise<readonly string[]> {
  // Without a group they are Kubernetes' own, and not policies.
  const custom = objects.filter((object) => kindOf(object).includes("."));
  if (custom.length === 0) return [];
  return (await allModels()).flatMap(({ name, policyReader }) => {
    const kinds = policyReader?.kinds.filter((kind) => !reader.kinds.includes(kind)) ?? [];
    const own = custom.filter((object) => kinds.includes(kindOf(object)));
    const [first] = own;
    if (first === undefined) return [];
    const more = own.length > 1 ? ` and ${own.length - 1} more` : "";
    return [
      `${first.kind} ${objectKey(first)}${more}: left out, as only ${name} reads such; say --cni ${name}`,
    ];
  });
}
