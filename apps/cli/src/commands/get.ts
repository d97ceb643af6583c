import type { Cluster } from "@cnilab/cluster";
import { isNamespaced } from "@cnilab/cluster";
import type { CustomResources } from "@cnilab/cluster/objects";
import {
  EPOCH_MS,
  InputError,
  type Kind,
  type KubeObject,
  kindOf,
  objectKey,
  selects,
} from "@cnilab/core";
import { kubectlTable } from "@cnilab/inspect";
import { type Command, Option } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../cluster-flags.ts";
import { resourcesWith } from "../custom-resources.ts";
import { KindNames } from "../kinds.ts";
import { readLabelSelector } from "../label-selector.ts";
import { loadModel } from "../load-model.ts";
import { print, printObjects } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

interface GetFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly showLabels?: boolean;
  readonly headers: boolean;
  readonly output: "text" | "wide" | "name" | "json" | "yaml";
}

export function addGetCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("get")
    .description("objects as kubectl prints them")
    .argument("<kind[/name]>", "pods, svc, deploy/frontend, po,svc, all")
    .argument("[name...]", "those of these names only")
    .option("-n, --namespace <name>", "namespace to look in (default)")
    .option("-A, --all-namespaces", "all namespaces")
    .option("-l, --selector <selector>", "by label, as app=web,tier!=db")
    .option("--show-labels", "with a column of labels")
    .option("--no-headers", "without the first line")
    .addOption(
      new Option("-o, --output <format>", "how to print")
        .choices(["text", "wide", "name", "json", "yaml"])
        .default("text"),
    );
  addClusterFlags(command).action((what, named, flags) => get(io, what, named, flags));
}

async function get(
  io: ProgramIo,
  what: string,
  named: readonly string[],
  flags: GetFlags,
): Promise<void> {
  const slash = what.indexOf("/");
  const names = new KindNames(resourcesWith(await loadModel(io, flags.cni)));
  const kinds = names.read(slash < 0 ? what : what.slice(0, slash));
  const wanted = slash < 0 ? named : [what.slice(slash + 1), ...named];
  const selector = flags.selector === undefined ? undefined : readLabelSelector(flags.selector);
  const { cluster, warnings } = await bringUp(io, flags);
  warn(io, warnings);
  const byKind = kinds.map((kind) => {
    const found = inScope(cluster, kind, flags).filter(
      (o) =>
        (wanted.length === 0 || wanted.includes(o.metadata.name)) &&
        (selector === undefined || selects(selector, o.metadata.labels)),
    );
    return found.sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1));
  });
  const objects = byKind.flat();
  for (const name of wanted) {
    if (objects.some((o) => o.metadata.name === name)) continue;
    const kind = kinds.map((each) => names.pluralOf(each)).join(",");
    throw new InputError(
      `there is no "${name}" among ${kind}${scopeText(kinds, flags, cluster.api.resources)}`,
      "get",
    );
  }
  if (flags.output === "json" || flags.output === "yaml") {
    printObjects(io, objects, flags.output, wanted.length === 1);
  } else if (objects.length === 0) {
    io.stderr.write(`No resources found${nowhere(kinds, flags, cluster.api.resources)}\n`);
  } else if (flags.output === "name") {
    for (const o of objects) print(io, `${resource(o)}/${o.metadata.name}`);
  } else {
    const filled = byKind.filter((list) => list.length > 0);
    const tables = filled.map((list) => {
      const kind = kindOf(list[0] as KubeObject);
      const columns = cluster.api.resources.get(kind)?.columns;
      return kubectlTable(list, {
        now: EPOCH_MS + cluster.clock.now,
        wide: flags.output === "wide",
        allNamespaces: flags.allNamespaces === true && isNamespaced(kind, cluster.api.resources),
        showLabels: flags.showLabels === true,
        noHeaders: !flags.headers,
        withKind: kinds.length > 1,
        ...(columns === undefined ? {} : { printerColumns: columns }),
      });
    });
    print(io, tables.join("\n"));
  }
}

function inScope(cluster: Cluster, kind: Kind, flags: GetFlags): KubeObject[] {
  const namespaced = isNamespaced(kind, cluster.api.resources);
  const everywhere = flags.allNamespaces === true || !namespaced;
  return [...cluster.api.list(kind, everywhere ? undefined : (flags.namespace ?? "default"))];
}

function scopeText(kinds: readonly Kind[], flags: GetFlags, resources: CustomResources): string {
  if (flags.allNamespaces === true || !kinds.some((kind) => isNamespaced(kind, resources)))
    return "";
  return ` in namespace ${flags.namespace ?? "default"}`;
}

/** kubectl's own words. */
function nowhere(kinds: readonly Kind[], flags: GetFlags, resources: CustomResources): string {
  if (flags.allNamespaces === true || !kinds.some((kind) => isNamespaced(kind, resources)))
    return "";
  return ` in ${flags.namespace ?? "default"} namespace.`;
}

/** `pod`, `deployment.apps`: as `-o name` has it. */
function resource(object: KubeObject): string {
  const [group] = object.apiVersion.split("/");
  const kind = object.kind.toLowerCase();
  return object.apiVersion.includes("/") ? `${kind}.${group}` : kind;
}
