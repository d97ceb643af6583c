import { KUBERNETES_POLICIES, type PolicyReader } from "@cnilab/network-policy";
import type { ClusterFlags } from "./cluster-flags.ts";
import { loadModel } from "./load-model.ts";

/** Who reads the policies: the CNI where it enforces them and has a reading of its own. @throws InputError for an unknown CNI */
export async function policyReader({
  cni,
  policy = "cni",
}: Partial<Pick<ClusterFlags, "cni" | "policy">>): Promise<PolicyReader> {
  const model = cni === undefined || policy !== "cni" ? undefined : await loadModel(cni);
  return model?.policyReader ?? KUBERNETES_POLICIES;
}
