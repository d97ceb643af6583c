import type { Command } from "commander";
import type { ProgramIo } from "../../program-io.ts";
import { addDiffCommand } from "./diff.ts";
import { addRouteCommand } from "./route.ts";

export function addGatewayCommand(program: Command, io: ProgramIo): void {
  const gateway = program
    .command("gateway")
    .description("where HTTP requests go by Ingresses and Gateway API routes, without a cluster");
  addRouteCommand(gateway, io);
  addDiffCommand(gateway, io);
}
