import type { ConnectRequest } from "@cnilab/cluster";
import { type Command, Option } from "commander";
import type { Walkable } from "./walkable.ts";

/** Flags that say what is asked for. */
export interface TargetFlags {
  readonly protocol: "tcp" | "udp" | "sctp" | "icmp";
  readonly namespace?: string;
}

export type Target = Pick<ConnectRequest, "from" | "to" | "port" | "protocol">;

export function addTargetFlags(command: Command): Command {
  return command
    .addOption(protocolOption())
    .option("-n, --namespace <name>", "namespace of names that have none");
}

export function protocolOption(): Option {
  return new Option("--protocol <protocol>", "of the connection")
    .choices(["tcp", "udp", "sctp", "icmp"])
    .default("tcp");
}

/** Finds both ends; a port of its own stands behind what it belongs to. @throws InputError */
export function readTarget(
  cluster: Walkable,
  src: string,
  dst: string,
  flags: TargetFlags,
  port?: number | string,
): Target {
  const scope = flags.namespace === undefined ? {} : { namespace: flags.namespace };
  return {
    from: cluster.endpoint(src, scope),
    to: cluster.endpoint(dst, scope),
    ...(port === undefined ? {} : { port }),
    protocol: flags.protocol.toUpperCase() as NonNullable<ConnectRequest["protocol"]>,
  };
}
