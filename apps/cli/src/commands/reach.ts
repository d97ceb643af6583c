import type { Cluster } from "@cnilab/cluster";
import { InputError, objectKey, type Protocol } from "@cnilab/core";
import type { PolicyReader } from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../cluster-flags.ts";
import { print, printJson } from "../output.ts";
import { policyReader } from "../policy-reader.ts";
import type { ProgramIo } from "../program-io.ts";
import { type ReachMember, reachMembers } from "../reach-members.ts";
import { type ReachPair, reachCsv, reachMatrix } from "../reach-text.ts";
import { staticAnswers } from "../static-answer.ts";

interface ReachFlags extends ClusterFlags {
  readonly static?: boolean;
  readonly port?: string;
  readonly protocol: Lowercase<Protocol>;
  readonly output: "text" | "json" | "csv";
}

/** Says what becomes of one pair. */
type Ask = (
  source: ReachMember,
  destination: ReachMember,
  protocol: Protocol,
  port: number,
) => Pick<ReachPair, "verdict" | "reason">;

export function addReachCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("reach")
    .description(
      "all pairs: which workload reaches which on the ports that it declares, and what blocks",
    )
    .option("--static", "by the policies alone, without sending packets")
    .option("--port <number>", "ask everybody on this port, declared or not")
    .addOption(
      new Option("--protocol <name>", "of --port").choices(["tcp", "udp", "sctp"]).default("tcp"),
    )
    .addOption(
      new Option("-o, --output <format>").choices(["text", "json", "csv"]).default("text"),
    );
  addClusterFlags(command).action((flags) => reach(io, flags));
}

async function reach(io: ProgramIo, flags: ReachFlags): Promise<void> {
  const port = flags.port === undefined ? undefined : readPort(flags.port);
  const protocol = flags.protocol.toUpperCase() as Protocol;
  const { cluster, warnings } = await bringUp(io, flags);
  const members = reachMembers(cluster);
  warn(io, [...warnings, ...(flags.static === true ? [] : cluster.warnings)]);
  const ask =
    flags.static === true
      ? byPolicies(io, cluster, (await policyReader(io, flags)).reader)
      : byPackets(cluster);
  const pairs = members.flatMap((source) =>
    members.flatMap((destination) => {
      if (source === destination) return [];
      const ports = port === undefined ? destination.ports : [{ protocol, port }];
      return ports.map((each) => ({
        source: source.name,
        destination: destination.name,
        ...each,
        ...verdictOf(ask(source, destination, each.protocol, each.port)),
      }));
    }),
  );
  if (flags.output === "json") printJson(io, pairs);
  else if (flags.output === "csv") print(io, reachCsv(pairs));
  else
    print(
      io,
      reachMatrix(
        members.map(({ name }) => name),
        pairs,
      ),
    );
  if (pairs.some(({ verdict }) => verdict !== "allowed")) io.exitCode = 1;
}

/** Without what only single probes tell. */
function verdictOf({
  verdict,
  reason,
}: Pick<ReachPair, "verdict" | "reason">): Pick<ReachPair, "verdict" | "reason"> {
  return { verdict, reason };
}

function byPackets(cluster: Cluster): Ask {
  return (source, destination, protocol, port) => {
    cluster.forgetConnections();
    const { verdict, reason } = cluster.connect({
      from: cluster.endpoint(objectKey(source.pod)),
      to: cluster.endpoint(objectKey(destination.pod)),
      protocol,
      port,
    });
    return { verdict, reason };
  };
}

function byPolicies(io: ProgramIo, cluster: Cluster, reader: PolicyReader): Ask {
  const { ask, warnings } = staticAnswers(cluster, reader);
  warn(io, warnings);
  return (source, destination, protocol, port) =>
    ask({
      from: cluster.endpoint(objectKey(source.pod)),
      to: cluster.endpoint(objectKey(destination.pod)),
      protocol,
      port,
    });
}

/** What `--port` says. @throws InputError */
export function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new InputError(`must be a number from 1 to 65535, not "${text}"`, "--port");
}
