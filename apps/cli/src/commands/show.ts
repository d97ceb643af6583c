import { InputError } from "@cnilab/core";
import { show, showJson, VIEWS, type ViewName } from "@cnilab/inspect";
import type { NetNamespace } from "@cnilab/linux";
import { Argument, type Command, Option } from "commander";
import { warn } from "../cluster-flags.ts";
import { print, printJson } from "../output.ts";
import { podNamespace } from "../pod-namespace.ts";
import type { ProgramIo } from "../program-io.ts";
import { addWalkFlags, type Walkable, type WalkFlags, walkable } from "../walkable.ts";

/** What is not a namespace's but a machine's, and has listings of its own. */
const BPF = "bpf";

interface ShowFlags extends WalkFlags {
  readonly node?: string;
  readonly pod?: string | undefined;
  readonly namespace?: string;
  readonly table?: string;
  readonly output: "text" | "json";
}

export function addShowCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("show")
    .description("kernel state as the real tools print it")
    .addArgument(new Argument("<what>", "which state").choices([...Object.keys(VIEWS), BPF]))
    .argument(
      "[words...]",
      "of bpf: a map, or as cilium-dbg bpf has them: lb backends, policy 1234",
    )
    .option("--node <name>", "the node to look at")
    .option("--pod <name>", "a pod's network namespace in place of the node's own")
    .option("-n, --namespace <name>", "namespace of the pod")
    .option("--table <table>", "of routes: a number, or all")
    .addOption(
      new Option("-o, --output <format>", "text, or JSON as the tool's own")
        .choices(["text", "json"])
        .default("text"),
    );
  addWalkFlags(command).action((what, words, flags) =>
    what === BPF ? showBpf(io, words, flags) : showState(io, what, words, flags),
  );
}

/** eBPF maps of a node, as `cilium-dbg` prints them in its agent's pod. */
async function showBpf(io: ProgramIo, words: readonly string[], flags: ShowFlags): Promise<void> {
  if (flags.node === undefined) {
    throw new InputError("name a node with --node: maps are its, and no pod's", "show bpf");
  }
  const { cluster, warnings } = await walkable(io, flags);
  const { kernel } = namespaceOf(cluster, { ...flags, pod: undefined });
  const { bpfOutput, identityLabels } = await import("@cnilab/cilium/dbg");
  const { text, json, note } = bpfOutput(kernel, words, {
    labelsOf: identityLabels(cluster.api),
    addressesOf: (pod) => cluster.api.get("Pod", pod)?.status?.podIPs?.map(({ ip }) => ip) ?? [],
  });
  // What is missing in maps for want of room their listings do not say.
  warn(io, [...warnings, ...cluster.warnings]);
  if (flags.output === "json") printJson(io, json);
  else print(io, text);
  if (note !== undefined) io.stderr.write(`${note}\n`);
}

async function showState(
  io: ProgramIo,
  what: ViewName,
  words: readonly string[],
  flags: ShowFlags,
): Promise<void> {
  if (words.length > 0) {
    throw new InputError(`is printed whole: leave "${words.join(" ")}" out`, `show ${what}`);
  }
  if (flags.node === undefined && flags.pod === undefined) {
    throw new InputError("name a node with --node, or a pod with --pod", "show");
  }
  if (flags.output === "json" && VIEWS[what].json === undefined) {
    throw new InputError(
      `${VIEWS[what].command} has no JSON form; leave -o json out`,
      `show ${what}`,
    );
  }
  const options = flags.table === undefined ? {} : { table: readTable(flags.table) };
  const { cluster, warnings } = await walkable(io, flags);
  const netns = namespaceOf(cluster, flags);
  checkSystem(what, netns);
  warn(io, warnings);
  if (flags.output === "json") printJson(io, showJson(what, netns, options));
  else print(io, show(what, netns, options));
}

/** @throws InputError for a view of the other system */
function checkSystem(what: ViewName, { kernel }: NetNamespace): void {
  const { os } = VIEWS[what];
  if (os === undefined || os === kernel.os) return;
  const names = Object.entries(VIEWS).filter(([, view]) => view.os === kernel.os);
  const system = kernel.os === "windows" ? "Windows" : "Linux";
  throw new InputError(
    `${kernel.hostname} runs ${system}, which has no ${VIEWS[what].command}; take ${names.map(([name]) => name).join(", ")}`,
    `show ${what}`,
  );
}

function namespaceOf(cluster: Walkable, { node, pod, namespace }: ShowFlags): NetNamespace {
  if (pod !== undefined) return podNamespace(cluster, pod, { node, namespace });
  const found = cluster.nodes.get(node ?? "");
  if (found !== undefined) return found.kernel.initNs;
  throw new InputError(`there is no node "${node}"; there are ${names(cluster)}`, "--node");
}

function names(cluster: Walkable): string {
  const all = [...cluster.nodes.keys()];
  return all.length <= 8 ? all.join(", ") : `${all.slice(0, 8).join(", ")}…`;
}

function readTable(text: string): number | "all" {
  if (text === "all") return "all";
  const named = { local: 255, main: 254, default: 253 }[text];
  if (named !== undefined) return named;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new InputError(
    `"${text}" is no routing table; write a number, main, local or all`,
    "--table",
  );
}
