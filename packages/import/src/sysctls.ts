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
    const { kind, device } = placeOf(path);
    // It left, or came, between two of the commands that were listed.
    if (device !== undefined && netns.findDevice(device) === undefined) continue;
    // Each device of each namespace has the same hundreds.
    if (unmodelled.has(node, UNKNOWN, kind)) continue;
    try {
      netns.sysctl.set(path, value);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.errno !== "ENOENT") throw new InputError(error.message, where);
      unmodelled.note(node, UNKNOWN, kind);
    }
  }
}

const UNKNOWN = "sysctls";

/** `forwarding` and `disable_ipv6` of all devices write those of each; so does `ip_forward`. */
function order(path: string): number {
  if (/ip_forward$/.test(path)) return 0;
  const rank = /[./]conf[./]all[./]/.test(path) ? 2 : /[./]conf[./]default[./]/.test(path) ? 4 : 6;
  return /[./](forwarding|disable_ipv6)$/.test(path) ? rank - 1 : rank;
}

/** A path as it is for all devices, and the device whose configuration it is of. */
function placeOf(path: string): { readonly kind: string; readonly device: string | undefined } {
  const found = /^(net[./]ipv[46][./](conf|neigh)[./])(.+)([./][^./]+)$/.exec(path);
  if (found === null) return { kind: path, device: undefined };
  const [, head, tree, name = "", tail] = found;
  // sysctl(8) writes dots of a name as slashes where dots part the words.
  const device = path.startsWith("net.") ? name.replaceAll("/", ".") : name;
  const isDevice = tree === "conf" && device !== "all" && device !== "default";
  return { kind: `${head}*${tail}`, device: isDevice ? device : undefined };
}
