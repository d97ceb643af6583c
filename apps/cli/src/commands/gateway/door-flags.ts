import { InputError } from "@cnilab/core";
import type { IngressDialect } from "@cnilab/gateway";
import { type Command, Option } from "commander";
import type { Doors, GatewayDoor } from "../../gateway-doors.ts";

export interface DoorFlags {
  readonly filename: readonly string[];
  readonly ingressAs: IngressDialect;
  readonly ingressClass: string;
  readonly gateway?: string;
}

export function addDoorFlags(command: Command): Command {
  return command
    .addOption(
      new Option("-f, --filename <path>", "manifests: file, folder or - for stdin; repeatable")
        .argParser((path: string, before: readonly string[]) => [...before, path])
        .default([], "none"),
    )
    .addOption(
      new Option("--ingress-as <dialect>", "compare paths as ingress-nginx does, or as documented")
        .choices(["ingress-nginx", "kubernetes"])
        .default("ingress-nginx"),
    )
    .option("--ingress-class <name>", "class of the Ingresses that are looked at", "nginx")
    .option("--gateway <ns/name>", "the Gateway, where there are several");
}

/** The Gateway that is meant. @throws InputError */
export function chosenGateway({ gateways }: Doors, flags: DoorFlags): GatewayDoor {
  const names = [...gateways.keys()].join(", ");
  const wanted =
    flags.gateway?.includes("/") === false ? `default/${flags.gateway}` : flags.gateway;
  if (wanted !== undefined) {
    const found = gateways.get(wanted);
    if (found !== undefined) return found;
    throw new InputError(
      `there is no Gateway ${wanted}; there are ${names || "none"}`,
      "--gateway",
    );
  }
  const [only, ...others] = gateways.values();
  if (only !== undefined && others.length === 0) return only;
  if (only === undefined) {
    throw new InputError(
      "the input has neither a Gateway nor an HTTPRoute; give one with -f",
      "-f",
    );
  }
  throw new InputError(`which Gateway is meant? There are ${names}; name one with --gateway`, "-f");
}
