import { InputError } from "@cnilab/core";
import { serviceSummary } from "@cnilab/inspect";
import { Trace } from "@cnilab/linux";
import type { Command } from "commander";
import { warn } from "../cluster-flags.ts";
import { nameOf } from "../names.ts";
import type { ProgramIo } from "../program-io.ts";
import { addTargetFlags, readTarget, type TargetFlags } from "../target.ts";
import { addTraceOutputFlags, printTrace, type TraceOutputFlags } from "../trace-output.ts";
import { addWalkFlags, type WalkFlags, walkable } from "../walkable.ts";
import { curl, isUrl } from "./curl.ts";

interface TraceFlags extends WalkFlags, TargetFlags, TraceOutputFlags {}

export function addTraceCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("trace")
    .description("follow one connection, step by step, there and back")
    .argument("<src>", "who asks: ns/pod, deploy/NAME, node/NAME, internet, an address")
    .argument(
      "<dst[:port]>",
      "whom: a DNS name, svc/NAME, a pod, an address, [IPv6]:port; or a URL",
    );
  addTraceOutputFlags(command);
  addTargetFlags(addWalkFlags(command)).action((src, dst, flags) => trace(io, src, dst, flags));
}

async function trace(io: ProgramIo, src: string, dst: string, flags: TraceFlags): Promise<void> {
  if (isUrl(dst)) {
    if (flags.state !== undefined) {
      throw new InputError("a URL needs programs that answer, and saved machines run none", dst);
    }
    if (flags.protocol !== "tcp") {
      throw new InputError("a URL is asked for over TCP", `--protocol ${flags.protocol}`);
    }
    await curl(io, src, dst, { ...flags, header: [], resolve: [], trace: true });
    return;
  }
  const { cluster, warnings } = await walkable(io, flags);
  const target = readTarget(cluster, src, dst, flags);
  cluster.forgetConnections();
  const walk = new Trace();
  const connection = cluster.connect({ ...target, trace: walk });
  warn(io, [...warnings, ...cluster.warnings]);
  const names = nameOf(cluster);
  const services = serviceSummary(walk, names);
  printTrace(io, { src, dst, connection, walk, nameOf: names, services }, flags);
}
