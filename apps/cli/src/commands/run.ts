import { isAddOn, objectKey } from "@cnilab/core";
import { type Command, Option } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags } from "../cluster-flags.ts";
import { loadModel } from "../load-model.ts";
import { print, printJson } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { checkServices, clientOf } from "../service-check.ts";
import { summary } from "../summary.ts";

interface RunFlags extends ClusterFlags {
  readonly output: "text" | "json";
}

export function addRunCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("run")
    .description("bring the cluster up, check every Service, and tell what is there")
    .addOption(
      new Option("-o, --output <format>", "text or json").choices(["text", "json"]).default("text"),
    );
  addClusterFlags(command).action((flags) => run(io, flags));
}

async function run(io: ProgramIo, flags: RunFlags): Promise<void> {
  const { cluster, warnings: ofInput } = await bringUp(io, flags);
  const warnings = [...ofInput, ...cluster.warnings];
  const client = clientOf(cluster);
  const checks = checkServices(cluster, client);
  if (flags.output === "json") {
    printJson(io, {
      nodes: [...cluster.nodes.values()].map((node) => ({
        name: node.name,
        ready: node.ready,
        podCIDRs: node.podCidrs().map(String),
        podRanges: node.podRanges().map(String),
      })),
      pods: cluster.api
        .list("Pod")
        .filter((pod) => !isAddOn(pod))
        .map((pod) => ({
          name: objectKey(pod),
          node: pod.spec.nodeName,
          phase: pod.status?.phase,
          ip: pod.status?.podIP,
        })),
      services: checks.map(({ service, ready, outside, failures, guarded }) => ({
        name: objectKey(service),
        clusterIP: service.spec.clusterIP,
        readyEndpoints: ready,
        answers: ready > 0 && failures.length === 0 && guarded.length === 0,
        ...(guarded.length > 0 ? { guardedByPolicies: guarded } : {}),
        ...(service.spec.type === "LoadBalancer" ? { answersOutsideAt: outside } : {}),
        failures: failures.map(({ port, connection }) => ({
          port,
          verdict: connection.verdict,
          reason: connection.reason,
        })),
      })),
      warnings,
    });
  } else {
    const model = await loadModel(io, flags.cni);
    print(
      io,
      summary({ cluster, flags, model, checks, client, warnings, command: ownCommand(io) }),
    );
  }
  if (checks.some((c) => c.failures.length > 0)) io.exitCode = 1;
}

/** How the user called us, so that the commands we suggest can be typed as they stand. */
function ownCommand({ argv, env }: ProgramIo): {
  readonly before: string;
  readonly behind: string;
} {
  const script = env["npm_lifecycle_event"];
  const before =
    script === "start" || script === "cnilab"
      ? "npm start --"
      : script === "npx"
        ? "npx cnilab"
        : "cnilab";
  const same = argv.slice(2).filter((word) => word !== "run");
  return { before, behind: same.map((word) => ` ${quoted(word)}`).join("") };
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
