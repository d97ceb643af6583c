import type { Command } from "commander";
import type { ProgramIo } from "../../program-io.ts";
import { addIpamCommand } from "./ipam.ts";
import { addNodeCommand } from "./node.ts";

export function addCalicoCommand(program: Command, io: ProgramIo): void {
  const calico = program
    .command("calico")
    .description("what calicoctl tells of a cluster on Calico");
  for (const add of [addIpamCommand, addNodeCommand]) add(calico, io);
}
