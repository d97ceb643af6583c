import { InputError } from "@cnilab/core";
import { type ImportedCluster, importCluster, type NodeSummary, summarise } from "@cnilab/import";
import { Nic } from "@cnilab/linux";
import { type Command, Option } from "commander";
import { warn } from "../cluster-flags.ts";
import { RESOURCES } from "../custom-resources.ts";
import { print, printJson } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { readOwnFile } from "../read-input.ts";
import { readState } from "../read-state.ts";
import { plural, wrap } from "../text-layout.ts";

interface ImportFlags {
  readonly output: "text" | "json";
  readonly printCollect?: boolean;
}

export function addImportNodeCommand(program: Command, io: ProgramIo): void {
  program
    .command("import-node")
    .description("read real machines' saved state: what there is, and what is not modelled")
    .argument("[folder]", "as the collect script leaves it: a folder for each node")
    .option("--print-collect", "write the script that collects the state of a real cluster")
    .addOption(
      new Option("-o, --output <format>", "text or json").choices(["text", "json"]).default("text"),
    )
    .action((folder, flags) => importNode(io, folder, flags));
}

async function importNode(
  io: ProgramIo,
  folder: string | undefined,
  flags: ImportFlags,
): Promise<void> {
  if (flags.printCollect) {
    print(io, readOwnFile(new URL(import.meta.resolve("@cnilab/import/collect.sh"))));
    return;
  }
  if (folder === undefined) {
    throw new InputError(
      "name the folder with the nodes' state, or use --print-collect",
      "import-node",
    );
  }
  const { files, objects, ignored } = await readState(io, folder);
  const cluster = importCluster(files, objects, { resources: RESOURCES });
  const nodes = summarise(cluster);
  if (flags.output === "json")
    printJson(io, { nodes, wires: wires(cluster), warnings: cluster.warnings });
  else print(io, text(cluster, nodes));
  warn(io, [...ignored, ...cluster.warnings]);
}

function text(cluster: ImportedCluster, nodes: readonly NodeSummary[]): string {
  const lines = nodes.flatMap((n) => wrap(counts(n), "  "));
  for (const wire of wires(cluster)) lines.push(...wrap(`on one wire: ${wire.join(", ")}`, "  "));
  for (const { node, unmodelled } of nodes) {
    if (unmodelled.length === 0) continue;
    lines.push(`not modelled of ${node}:`);
    lines.push(...unmodelled.flatMap((line) => wrap(`  ${line}`, "    ")));
  }
  return lines.join("\n");
}

function counts(n: NodeSummary): string {
  return [
    `${n.node}: ${plural(n.namespaces, "namespace")}, ${n.pods} of pods`,
    `${plural(n.devices, "device")} with addresses: ${n.addresses}`,
    `${plural(n.routes, "route")}, ${plural(n.rules, "rule")}, ${plural(n.neighbours, "neighbour")}`,
    `${plural(n.iptablesRules, "iptables rule")}, ${plural(n.nftTables, "nft table")}, ${plural(n.sets, "set")}`,
  ].join("; ");
}

/** Which cards are taken to be on one wire, the assumed router's among them. */
function wires({ network }: ImportedCluster): string[][] {
  const bySegment = new Map<unknown, string[]>();
  for (const { hostname, initNs, namespaces } of network.kernels.values()) {
    for (const netns of [initNs, ...namespaces]) {
      for (const dev of netns.devices) {
        if (!(dev instanceof Nic)) continue;
        const inside = netns.name === "" ? hostname : String(netns);
        const there = bySegment.get(dev.segment);
        if (there === undefined) bySegment.set(dev.segment, [`${inside}/${dev.name}`]);
        else there.push(`${inside}/${dev.name}`);
      }
    }
  }
  return [...bySegment.values()].filter((cards) => cards.length > 1);
}
