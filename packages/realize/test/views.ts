import { show, sysctlsText, VIEWS, type ViewName } from "@cnilab/inspect";
import { Bridge, type NetNamespace, type Network } from "@cnilab/linux";

/** Views of state that goes with traffic and programs. */
const PASSING: readonly ViewName[] = ["conntrack", "sockets", "sysctl"];

/** State of each namespace as the tools print it: lines by `machine/namespace view`. */
export function viewsOf(network: Network): Record<string, string[]> {
  const views: Record<string, string[]> = {};
  for (const { initNs, namespaces } of network.kernels.values()) {
    for (const netns of [initNs, ...namespaces]) {
      for (const [view, text] of textsOf(netns)) {
        views[`${netns} ${view}`] = comparable(view, text);
      }
    }
  }
  return views;
}

function textsOf(netns: NetNamespace): [view: string, text: string][] {
  const names = (Object.keys(VIEWS) as ViewName[]).filter((name) => !PASSING.includes(name));
  return [
    ...names.map((name): [string, string] => [
      name,
      show(name, netns, name === "routes" ? { table: "all" } : {}),
    ]),
    ["sysctl", sysctls(netns)],
  ];
}

/** Without those of bridges where there is none: they are not realised. */
function sysctls(netns: NetNamespace): string {
  const text = sysctlsText(netns, true);
  const hasBridge = netns.devices.some((dev) => dev instanceof Bridge);
  return hasBridge ? text : text.replaceAll(/^net\.bridge\..*\n/gm, "");
}

/** What the two sides write in another order, or what one of them cannot have. */
function comparable(view: string, text: string): string[] {
  const lines = text.split("\n");
  switch (view) {
    case "links":
      return devices(text);
    case "addrs":
      // Addresses are realised without duplicate address detection, which the model has none of.
      return devices(text.replaceAll(/ nodad $/gm, " "));
    case "routes":
      // Routers have anycast addresses, which the model makes none of; later kernels lack this route of lo's.
      return ipv6OfDevicesLast(
        lines.filter(
          (line) => !line.startsWith("anycast ") && !line.startsWith("::1 dev lo proto kernel"),
        ),
      );
    case "tc":
      return lines.sort();
    case "neigh":
      return lines.filter((line) => line.includes("PERMANENT")).sort();
    case "fdb":
      // The rest is learnt.
      return lines.filter((line) => /\b(permanent|static)\b/.test(line)).sort();
    case "iptables":
    case "ip6tables":
      // The kernels of real namespaces talk to each other, as those of the model did.
      return lines.map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
    case "sysctl":
      // See FIXED of src/sysctls.ts; lo has -1 for use_tempaddr in the kernel.
      return lines.filter(
        (line) => !/\.(accept_dad|use_tempaddr|router_solicitations|ratelimit) = /.test(line),
      );
    case "nft":
      // The real nft says more often which family a reject is for.
      return lines.map((line) =>
        line
          .replace(/meta nfproto ipv[46] (?=.*reject)/, "")
          .replace(/reject with icmp(v6)? port-unreachable$/, "reject"),
      );
    default:
      return lines;
  }
}

/** What is said of each device, by name: a veth's other end may get its index earlier than in the model. */
function devices(text: string): string[] {
  return text
    .split(/^(?=\d+: )/m)
    .map((device) => device.replace(/^\d+: /, "").replace(/@if\d+:/, "@if:"))
    .sort();
}

/** These stand in the order in which devices came up. */
function ipv6OfDevicesLast(lines: readonly string[]): string[] {
  const isOfDevice = (line: string): boolean =>
    /^(fe80::\/64|local fe80::\S+|multicast ff00::\/8) dev /.test(line);
  return [...lines.filter((line) => !isOfDevice(line)), ...lines.filter(isOfDevice).sort()];
}
