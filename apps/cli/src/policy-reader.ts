import { type KubeObject, kindOf, objectKey } from "@cnilab/core";
import {
  KUBERNETES_POLICIES,
  type Policy,
  type PolicyReader,
  type PolicyView,
  policyName,
  ruleName,
} from "@cnilab/network-policy";
import type { ClusterFlags } from "./cluster-flags.ts";
import { allModels, loadModel } from "./load-model.ts";
import { readModelOptions } from "./model-options.ts";
import type { ProgramIo } from "./program-io.ts";
import { readSources } from "./read-input.ts";

/** Who reads policies, and what of the values files is no option of the CNI. */
interface ChosenReader {
  readonly reader: PolicyReader;
  readonly warnings: readonly string[];
}

/**
 * Who reads the policies: the CNI, set up as the flags say, where it enforces them and has a reading of its own.
 * @throws InputError for an unknown CNI, or options that it has not
 */
export async function policyReader(
  io: ProgramIo,
  {
    cni,
    policy = "cni",
    cniSet = [],
    cniValues = [],
  }: Partial<Pick<ClusterFlags, "cni" | "policy" | "cniSet" | "cniValues">>,
): Promise<ChosenReader> {
  const model = cni === undefined || policy !== "cni" ? undefined : await loadModel(io, cni);
  if (model === undefined && cni !== undefined) {
    return { reader: KUBERNETES_POLICIES, warnings: [] };
  }
  const { options, warnings } = readModelOptions(model, cniSet, await readSources(io, cniValues));
  const reader = model?.policyReader ?? KUBERNETES_POLICIES;
  return { reader: reader.withOptions?.(options) ?? reader, warnings };
}

/** What of the policies among some objects is left out of an answer. */
export async function policyWarnings(
  objects: readonly KubeObject[],
  reader: PolicyReader,
  view: PolicyView,
): Promise<readonly string[]> {
  return [...viewWarnings(view), ...(await unread(objects, reader))];
}

/** What a CNI leaves out of the policies that it reads, and what only packets could tell. */
export function viewWarnings({
  ignored,
  deviations = [],
  policies,
}: PolicyView): readonly string[] {
  const leftOut = ignored.map(
    ({ object, reason }) => `${policyName({ object })} is left out: ${reason}`,
  );
  const otherwise = deviations.map(
    ({ object, reason }) => `${policyName({ object })} is enforced otherwise: ${reason}`,
  );
  const names = rulesByName(policies).map(
    (rule) => `${rule}: addresses behind names are not known without packets: nobody matches`,
  );
  return [...leftOut, ...otherwise, ...names];
}

/** Rules that name their peers: `spec.egress[0] of NetworkPolicy a/b names docs.example.com`. */
function rulesByName(policies: readonly Policy[]): readonly string[] {
  const found = policies.flatMap((policy) =>
    (policy.egress ?? []).flatMap((rule) => {
      const names = (rule.peers ?? []).flatMap((term) =>
        term.kind === "domain" ? [term.name] : [],
      );
      return names.length === 0 ? [] : [`${ruleName({ policy, rule })} names ${names.join(", ")}`];
    }),
  );
  return [...new Set(found)];
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
