import process from "node:process";
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

export function addIpamCommand(command: Command): void {
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
  withCalico(show).action(showIpam);
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
  withCalico(check).action(checkCluster);
}

/** Flags of a cluster whose CNI is Calico where no other is named. */
function withCalico(command: Command): Command {
  const option = addClusterFlags(command).options.find(({ long }) => long === "--cni");
  option?.default(calico.name);
  return command.setOptionValueWithSource("cni", calico.name, "default");
}

async function showIpam(flags: ShowFlags): Promise<void> {
  const address = flags.ip === undefined ? undefined : tryParseIp(flags.ip);
  if (flags.ip !== undefined && address === undefined) {
    throw new InputError(`invalid IP address specified: ${flags.ip}`, "--ip");
  }
  const { client } = await ipamOf(flags);
  if (address !== undefined) print(answer(() => showIp(client, address)));
  else if (flags.showBlocks === true) print(showUtilization(client, true));
  else if (flags.showBorrowed === true) print(showBorrowed(client));
  else if (flags.showConfiguration === true) print(showConfiguration(client.settings));
  else print(showUtilization(client, false));
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

async function checkCluster(flags: CheckFlags): Promise<void> {
  const { client, cluster } = await ipamOf(flags);
  const { text, problems, report } = checkIpam(cluster.api, client, {
    showAllIps: flags.showAllIps === true,
    showProblemIps: flags.showProblemIps === true,
    version: calico.release,
    now: cluster.clock.now,
  });
  if (flags.output === "json") printJson(report);
  else print(text);
  if (problems > 0) process.exitCode = 1;
}

async function ipamOf(flags: ClusterFlags) {
  const { cluster, warnings } = await bringUp(flags);
  warn(warnings);
  return { cluster, client: IpamClient.of(cluster.api, cluster.clock) };
}
