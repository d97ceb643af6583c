import {
  calico,
  checkIpam,
  IpamClient,
  IpamError,
  showBorrowed,
  showConfiguration,
  showIp,
  showUtilization,
} from "@cnilab/calico";
import { InputError } from "@cnilab/core";
import { tryParseIp } from "@cnilab/net";
import { type Command, Option } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface ShowFlags extends ClusterFlags {
  readonly ip?: string;
  readonly showBlocks?: boolean;
  readonly showBorrowed?: boolean;
  readonly showConfiguration?: boolean;
}

interface CheckFlags extends ClusterFlags {
  readonly showAllIps?: boolean;
  readonly showProblemIps?: boolean;
  readonly output: "text" | "json";
}

export function addIpamCommand(command: Command, io: ProgramIo): void {
  const ipam = command
    .command("ipam")
    .description("how Calico's IPAM has handed out addresses, as calicoctl ipam prints it");
  const show = ipam
    .command("show")
    .description("how full the pools are; one address, blocks, borrowed addresses, configuration")
    .option("--ip <ip>", "who has this address")
    .option("--show-blocks", "blocks as well as pools")
    .option("--show-borrowed", "addresses out of blocks of other nodes")
    .option("--show-configuration", "what IPAMConfiguration says");
  withCalico(show).action((flags) => showIpam(io, flags));
  const check = ipam
    .command("check")
    .description("whether what is handed out and what is in use are the same; exit code 1 if not")
    .option("--show-all-ips", "every address that is looked at")
    .option("--show-problem-ips", "addresses that leaked, or were never handed out")
    .addOption(
      new Option("-o, --output <format>", "text, or the report that calicoctl writes to a file")
        .choices(["text", "json"])
        .default("text"),
    );
  withCalico(check).action((flags) => checkCluster(io, flags));
}

/** Flags of a cluster whose CNI is Calico where no other is named. */
function withCalico(command: Command): Command {
  const option = addClusterFlags(command).options.find(({ long }) => long === "--cni");
  option?.default(calico.name);
  return command.setOptionValueWithSource("cni", calico.name, "default");
}

async function showIpam(io: ProgramIo, flags: ShowFlags): Promise<void> {
  const address = flags.ip === undefined ? undefined : tryParseIp(flags.ip);
  if (flags.ip !== undefined && address === undefined) {
    throw new InputError(`invalid IP address specified: ${flags.ip}`, "--ip");
  }
  const { client } = await ipamOf(io, flags);
  if (address !== undefined)
    print(
      io,
      answer(() => showIp(client, address)),
    );
  else if (flags.showBlocks === true) print(io, showUtilization(client, true));
  else if (flags.showBorrowed === true) print(io, showBorrowed(client));
  else if (flags.showConfiguration === true) print(io, showConfiguration(client.settings));
  else print(io, showUtilization(client, false));
}

/** What IPAM cannot tell is told in its words. */
function answer(tell: () => string): string {
  try {
    return tell();
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    throw new InputError(error.message, "calico ipam show");
  }
}

async function checkCluster(io: ProgramIo, flags: CheckFlags): Promise<void> {
  const { client, cluster } = await ipamOf(io, flags);
  const { text, problems, report } = checkIpam(cluster.api, client, {
    showAllIps: flags.showAllIps === true,
    showProblemIps: flags.showProblemIps === true,
    version: calico.release,
    now: cluster.clock.now,
  });
  if (flags.output === "json") printJson(io, report);
  else print(io, text);
  if (problems > 0) io.exitCode = 1;
}

async function ipamOf(io: ProgramIo, flags: ClusterFlags) {
  const { cluster, warnings } = await bringUp(io, flags);
  warn(io, warnings);
  return { cluster, client: IpamClient.of(cluster.api, cluster.clock) };
}
