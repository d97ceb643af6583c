import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Network } from "@cnilab/linux";
import { type Script, standalone } from "@cnilab/realize";
import { type RealAnswer, type RealProbe, requestTo, SOCKETS } from "./real-sockets.ts";

/** The program that runs a command on a stock Debian kernel: beside the project, or where RUN_IN_VM says. */
const RUN_IN_VM =
  process.env["RUN_IN_VM"] ??
  fileURLToPath(new URL("../../../../../shared/tools/run-in-vm", import.meta.url));
/** Seconds after which the virtual machine is stopped, before the test is given up (vitest.config.ts): 140 were enough on a busy machine. */
const MACHINE_LIMIT_S = 600;
/** Seconds that a client waits there. */
const WAIT_S = 20;

/**
 * Why no virtual machine can be started here, or `undefined`.
 * @param tools that it takes from this one, besides those of every script
 */
export function whyNoMachine(...tools: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(RUN_IN_VM)) return `needs ${RUN_IN_VM} (or RUN_IN_VM)`;
  for (const tool of ["qemu-system-x86_64", "depmod", ...tools]) {
    if (spawnSync("which", [tool]).status !== 0) return `needs ${tool}`;
  }
  return undefined;
}

/** What its kernel has as modules must be there before the first sysctl is written. */
const MODULES =
  "veth bridge vxlan openvswitch xfrm_user esp4 ipip wireguard br_netfilter nf_conntrack nf_nat nf_tables ip_set ip_set_hash_net";

/**
 * Makes a network real in a virtual machine with Debian's kernel, opens every listening socket there, and sends all the
 * probes. The machine goes when they are answered.
 * @throws Error with what the machine said
 */
export async function askInSecondKernel(
  network: Network,
  made: Script,
  probes: readonly RealProbe[],
): Promise<readonly RealAnswer[]> {
  const folder = mkdtempSync(join(tmpdir(), "cnilab-vm."));
  const path = (name: string): string => join(folder, name);
  try {
    writeFileSync(path("make"), standalone(made));
    const request = requestTo(network, made.prefix, probes, WAIT_S);
    writeFileSync(path("request"), JSON.stringify(request));
    writeFileSync(
      path("run"),
      `set -e
modprobe -a ${MODULES}
bash ${path("make")}
python3 ${SOCKETS} < ${path("request")} > ${path("answers")}
`,
    );
    await runInMachine(["-t", `${MACHINE_LIMIT_S}`, "-w", folder, "--", "bash", path("run")]);
    return JSON.parse(readFileSync(path("answers"), "utf8"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runInMachine(args: readonly string[]): Promise<void> {
  const child = spawn(RUN_IN_VM, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      said += data;
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => {
      if (status === 0) resolve();
      else reject(new Error(`the virtual machine ended with status ${status}: ${said.trim()}`));
    });
  });
}
