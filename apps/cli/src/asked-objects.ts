import { type Cluster, isNamespaced } from "@cnilab/cluster";
import type { CustomResources } from "@cnilab/cluster/objects";
import { InputError, type Kind, type KubeObject, objectKey, selects } from "@cnilab/core";
import type { Command } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "./cluster-flags.ts";
import { resourcesWith } from "./custom-resources.ts";
import { KindNames } from "./kinds.ts";
import { readLabelSelector } from "./label-selector.ts";
import { loadModel } from "./load-model.ts";
import type { ProgramIo } from "./program-io.ts";

/** Flags of commands that name objects as kubectl does. */
export interface ObjectFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

/** Objects that a command names. */
export interface AskedObjects {
  readonly cluster: Cluster;
  readonly kinds: readonly Kind[];
  /** In the order of {@link kinds}, each by name. */
  readonly byKind: readonly (readonly KubeObject[])[];
  /** Whether one object was asked for by its name. */
  readonly isSingle: boolean;
  /** kubectl's own words where there are none. */
  readonly nothing: string;
}

/** Arguments and flags, those of a cluster among them. */
export function addObjectFlags(command: Command): Command {
  return addClusterFlags(
    command
      .argument("<kind[/name]>", "pods, svc, deploy/frontend, po,svc, all")
      .argument("[name...]", "those of these names only")
      .option("-n, --namespace <name>", "namespace to look in (default)")
      .option("-A, --all-namespaces", "all namespaces")
      .option("-l, --selector <selector>", "by label, as app=web,tier!=db"),
  );
}

/**
 * Brings up the cluster and finds the objects; a name that nothing has may be how names begin, where `prefixes` says so.
 * @throws InputError for a name that nothing has
 */
export async function askedObjects(
  io: ProgramIo,
  command: { readonly name: string; readonly prefixes: boolean },
  what: string,
  named: readonly string[],
  flags: ObjectFlags,
): Promise<AskedObjects> {
  const slash = what.indexOf("/");
  const names = new KindNames(resourcesWith(await loadModel(io, flags.cni)));
  const kinds = names.read(slash < 0 ? what : what.slice(0, slash), command.name);
  const wanted = slash < 0 ? named : [what.slice(slash + 1), ...named];
  const selector = flags.selector === undefined ? undefined : readLabelSelector(flags.selector);
  const { cluster, warnings } = await bringUp(io, flags);
  warn(io, warnings);
  const selected = kinds.map((kind) => {
    const found = inScope(cluster, kind, flags).filter(
      ({ metadata }) => selector === undefined || selects(selector, metadata.labels),
    );
    return found.sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1));
  });
  const has = (name: string): boolean =>
    selected.some((list) => list.some(({ metadata }) => metadata.name === name));
  const begins = command.prefixes ? wanted.filter((name) => !has(name)) : [];
  const isAsked = ({ metadata: { name } }: KubeObject): boolean =>
    wanted.length === 0 ||
    wanted.includes(name) ||
    begins.some((beginning) => name.startsWith(beginning));
  const byKind = selected.map((list) => list.filter(isAsked));
  const objects = byKind.flat();
  for (const name of wanted) {
    const isFound = ({ metadata }: KubeObject): boolean =>
      begins.includes(name) ? metadata.name.startsWith(name) : metadata.name === name;
    if (objects.some(isFound)) continue;
    const kind = kinds.map((each) => names.pluralOf(each)).join(",");
    throw new InputError(
      `there is no "${name}" among ${kind}${scopeText(kinds, flags, cluster.api.resources)}`,
      command.name,
    );
  }
  return {
    cluster,
    kinds,
    byKind,
    isSingle: wanted.length === 1,
    nothing: `No resources found${nowhere(kinds, flags, cluster.api.resources)}`,
  };
}

function inScope(cluster: Cluster, kind: Kind, flags: ObjectFlags): KubeObject[] {
  const namespaced = isNamespaced(kind, cluster.api.resources);
  const everywhere = flags.allNamespaces === true || !namespaced;
  return [...cluster.api.list(kind, everywhere ? undefined : (flags.namespace ?? "default"))];
}

function scopeText(kinds: readonly Kind[], flags: ObjectFlags, resources: CustomResources): string {
  if (flags.allNamespaces === true || !kinds.some((kind) => isNamespaced(kind, resources)))
    return "";
  return ` in namespace ${flags.namespace ?? "default"}`;
}

/** kubectl's own words. */
function nowhere(kinds: readonly Kind[], flags: ObjectFlags, resources: CustomResources): string {
  if (flags.allNamespaces === true || !kinds.some((kind) => isNamespaced(kind, resources)))
    return "";
  return ` in ${flags.namespace ?? "default"} namespace.`;
}
