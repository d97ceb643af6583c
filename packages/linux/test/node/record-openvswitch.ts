// Asks Debian's kernel 6.1 in a virtual machine what its datapath does (../shared/specs/vm-kernel.md): node test/node/record-openvswitch.ts RUN_IN_VM
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CASES, scriptOf } from "../openvswitch/cases.ts";

const [, , runInVm = "run-in-vm"] = process.argv;
const script = Object.entries(CASES)
  .map(([name, lines]) => scriptOf(name, lines))
  .join("");
const inVm = fileURLToPath(new URL("../openvswitch/in-vm.sh", import.meta.url));
const said = execFileSync(runInVm, ["-t", "580", "--", inVm, script], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
writeFileSync(new URL("../fixtures/openvswitch/recorded.txt", import.meta.url), said);
