import { InputError } from "@cnilab/core";
import { KernelError, type NetNamespace } from "@cnilab/linux";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

export const SYSCTLS = "sysctls.txt";

/** Whether br_netfilter is loaded: its values are there only then. */
export function hasBridgeNetfilter({ files }: SavedNamespace): boolean {
  return (files.text(SYSCTLS) ?? "").includes("net.bridge.bridge-nf-call-iptables");
}

/** `sysctl -a -r ^net`, written in an order in which none changes another afterwards. @throws InputError */
export function writeSysctls(
  netns: NetNamespace,
  { files, node }: SavedNamespace,
  unmodelled: Unmodelled,
): void {
  const settings = files.lines(SYSCTLS).map(({ text, where }) => {
    const found = /^(net[./]\S+)\s*=\s*(.*)$/.exec(text);
    if (found === null) throw new InputError("must be a line as `net.ipv4.ip_forward = 1`", where);
    return { path: found[1] as string, value: (found[2] as string).trim(), where };
  });
  settings.sort((x, y) => order(x.path) - order(y.path));
  for (const { path, value, where } of settings) {
    try {
      netns.sysctl.set(path, value);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.errno !== "ENOENT") throw new InputError(error.message, where);
      unmodelled.note(node, "sysctls", ofAnyDevice(path));
    }
  }
}

/** `forwarding` and `disable_ipv6` of all devices write those of each; so does `ip_forward`. */
function order(path: string): number {
  if (/ip_forward$/.test(path)) return 0;
  const rank = /[./]conf[./]all[./]/.test(path) ? 2 : /[./]conf[./]default[./]/.test(path) ? 4 : 6;
  return /[./](forwarding|disable_ipv6)$/.test(path) ? rank - 1 : rank;
}

/** What a node has hundreds of stands for all its devices. */
function ofAnyDevice(path: string): string {
  return path.replace(/^(net[./]ipv[46][./](?:conf|neigh)[./]).+([./][^./]+)$/, "$1*$2");
}
