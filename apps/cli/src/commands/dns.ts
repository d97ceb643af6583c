import type { Command } from "commander";
import { addDnsServeCommand } from "./dns-serve.ts";

export function addDnsCommand(program: Command): void {
  const dns = program.command("dns").description("names: what CoreDNS answers");
  addDnsServeCommand(dns);
}
