import type { Cluster } from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import { bringUpOn, type ClusterFlags, readManifests, warn } from "../cluster-flags.ts";
import { print, printJson, printYaml } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { runningMembers } from "../reach-members.ts";
import { type ComparedCni, readComparedCnis } from "./compared-cni.ts";
import { compare } from "./comparison.ts";
import { comparisonCsv } from "./comparison-csv.ts";
import { comparisonData } from "./comparison-data.ts";
import { comparisonMarkdown } from "./comparison-markdown.ts";
import { comparisonScreen } from "./comparison-screen.ts";
import type { Finding } from "./finding.ts";
import { investigate } from "./investigate.ts";
import { type PairSample, samplePairs } from "./pair-sample.ts";

export interface CompareFlags extends ClusterFlags {
  readonly output: "text" | "wide" | "json" | "yaml" | "csv" | "md";
}

/** Brings the same input up on one CNI after the other, and tells what differs. @throws InputError */
export async function compareCnis(io: ProgramIo, flags: CompareFlags): Promise<void> {
  const { cnis, warnings } = await readComparedCnis(io, flags.cni, flags.cniSet, flags.cniValues);
  const sources = await readManifests(io, flags);
  warn(io, warnings);
  let sample: PairSample | undefined;
  const findings: Finding[] = [];
  for (const cni of cnis) {
    const { cluster, warnings } = await bringUpOn(io, flags, cni, sources).catch((error) => {
      throw error instanceof InputError ? withOthers(error, cni, cnis) : error;
    });
    sample ??= sampleOf(cluster, flags);
    const done = showStep(io, `Asking ${cni.label}, ${findings.length + 1} of ${cnis.length}`);
    findings.push(investigate(cluster, cni, flags, sample?.pairs ?? [], warnings));
    done();
  }
  if (sample === undefined) {
    const isRunning = findings.some(({ size }) => size.runningPods > 0);
    throw new InputError(
      isRunning
        ? "all pods of the input use their node's network (hostNetwork), to which a CNI does nothing"
        : "no pod of the input runs on any of these CNIs",
      "compare",
    );
  }
  const comparison = compare(findings, sample);
  switch (flags.output) {
    case "text":
    case "wide":
      return print(io, comparisonScreen(comparison));
    case "md":
      return print(io, comparisonMarkdown(comparison));
    case "csv":
      return print(io, comparisonCsv(comparisonData(comparison)));
    case "json":
      return printJson(io, comparisonData(comparison));
    case "yaml":
      return printYaml(io, comparisonData(comparison));
  }
}

/** What only one of the CNIs may refuse, the others may be compared with. */
function withOthers(error: InputError, cni: ComparedCni, cnis: readonly ComparedCni[]): InputError {
  const others = cnis.filter((each) => each !== cni && each.model !== cni.model);
  if (others.length < 2 || error.where !== "--ip-families") return error;
  const list = others.map(({ written }) => written).join(",");
  return new InputError(`${error.message}, or leave it out: --cni ${list}`);
}

/** Says on a terminal's last line what takes its time. */
function showStep({ stderr }: ProgramIo, text: string): () => void {
  if (!stderr.isTTY) return () => {};
  stderr.write(`\r\x1b[K${text}`);
  return () => stderr.write("\r\x1b[K");
}

function sampleOf(cluster: Cluster, { seed }: ClusterFlags): PairSample | undefined {
  const members = runningMembers(cluster);
  return members.length === 0 ? undefined : samplePairs(members, seed);
}
