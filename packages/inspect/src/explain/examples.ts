import {
  Bridge,
  dpctlDumpFlows,
  dpctlShow,
  type Kernel,
  type NetDevice,
  type NetNamespace,
  Veth,
  Vxlan,
} from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { fdbText } from "../iproute/fdb.ts";
import { linksText } from "../iproute/links.ts";
import { neighboursText } from "../iproute/neighbours.ts";
import { routesText, routeText } from "../iproute/routes.ts";
import { rulesText } from "../iproute/rules.ts";

/** A piece of a running kernel's state that shows a term; `undefined` where it has none. */
export type Example = (kernel: Kernel) => string | undefined;

/** Examples by the terms of the glossary. */
export const EXAMPLES: Readonly<Record<string, Example>> = {
  netns: (kernel) => {
    const names = [...kernel.namespaces].map((n) => n.name);
    return names.length === 0 ? undefined : `$ ip netns\n${names.slice(0, 5).join("\n")}`;
  },
  veth: (kernel) => deviceLines(kernel, (dev) => dev instanceof Veth),
  bridge: (kernel) => deviceLines(kernel, (dev) => dev instanceof Bridge),
  cni0: (kernel) => deviceLines(kernel, (dev) => dev.name === "cni0"),
  "flannel.1": (kernel) => deviceLines(kernel, (dev) => dev.name === "flannel.1", true),
  VXLAN: (kernel) => deviceLines(kernel, (dev) => dev instanceof Vxlan, true),
  VNI: (kernel) => deviceLines(kernel, (dev) => dev instanceof Vxlan, true),
  openvswitch: (kernel) => dpctlShow(kernel.initNs).trimEnd() || undefined,
  vport: (kernel) =>
    firstLine("ovs-dpctl show", dpctlShow(kernel.initNs), (l) => / port [1-9]/.test(l)),
  megaflow: (kernel) => firstLine("ovs-dpctl dump-flows", dpctlDumpFlows(kernel.initNs)),
  VTEP: vtepLines,
  FDB: (kernel) =>
    firstLine("bridge fdb show", fdbText(kernel.initNs), (line) => / dst | master /.test(line)),
  neighbour: (kernel) => firstLine("ip neigh", neighboursText(kernel.initNs)),
  ARP: (kernel) => firstLine("ip neigh", neighboursText(kernel.initNs, { family: 4 })),
  "neighbour discovery": (kernel) =>
    firstLine("ip -6 neigh", neighboursText(kernel.initNs, { family: 6 })),
  "route table": (kernel) => firstLine("ip route", routesText(kernel.initNs)),
  LPM: longestPrefix,
  onlink: (kernel) =>
    firstLine("ip route", routesText(kernel.initNs), (line) => line.includes(" onlink ")),
  gateway: (kernel) => {
    for (const netns of kernel.namespaces) {
      const found = firstLine("ip route", routesText(netns), (l) => l.startsWith("default "));
      if (found !== undefined) return found;
    }
    return undefined;
  },
  metric: (kernel) =>
    firstLine("ip route", routesText(kernel.initNs), (line) => line.includes(" metric ")),
  rule: (kernel) => `$ ip rule\n${rulesText(kernel.initNs).trimEnd()}`,
  MTU: (kernel) =>
    kernel.initNs.devices.map((dev) => `${dev.name} mtu ${dev.mtu}`).join("\n") || undefined,
  hairpin: (kernel) => {
    const port = portsOf(kernel.initNs)[0];
    return (
      port && `$ bridge -d link\n${port.name} hairpin ${port.bridgePort?.hairpin ? "on" : "off"}`
    );
  },
  ip_forward: (kernel) => sysctlLine(kernel, "net.ipv4.ip_forward"),
  rp_filter: (kernel) => sysctlLine(kernel, "net.ipv4.conf.all.rp_filter"),
  "proxy ARP": (kernel) => {
    const dev = kernel.initNs.devices.find((d) => d.conf4.proxy_arp !== 0);
    return dev && `net.ipv4.conf.${dev.name}.proxy_arp = 1`;
  },
  br_netfilter: (kernel) => sysctlLine(kernel, "net.bridge.bridge-nf-call-iptables"),
  cali: (kernel) => deviceLines(kernel, (dev) => /^cali[0-9a-f]{11}$/.test(dev.name)),
  tunl0: (kernel) => deviceLines(kernel, (dev) => dev.name === "tunl0"),
  "vxlan.calico": (kernel) => deviceLines(kernel, (dev) => dev.name === "vxlan.calico", true),
  "wireguard.cali": (kernel) => deviceLines(kernel, (dev) => dev.name === "wireguard.cali"),
  "IP block": blackholes,
  blackhole: blackholes,
  BIRD: (kernel) =>
    firstLine("ip route", routesText(kernel.initNs), (line) => line.includes(" proto bird ")),
  "169.254.1.1": (kernel) => {
    for (const netns of kernel.namespaces) {
      const found = firstLine("ip route", routesText(netns), (l) => l.includes("169.254.1.1"));
      if (found !== undefined) return found;
    }
    return undefined;
  },
  lxc: (kernel) => deviceLines(kernel, (dev) => /^lxc[0-9a-f]{12}$/.test(dev.name)),
  cilium_host: (kernel) => deviceLines(kernel, (dev) => dev.name === "cilium_host"),
  cilium_net: (kernel) => deviceLines(kernel, (dev) => dev.name === "cilium_net"),
  cilium_vxlan: (kernel) =>
    deviceLines(kernel, (dev) => /^cilium_(vxlan|geneve)$/.test(dev.name), true),
  cilium_wg0: (kernel) => deviceLines(kernel, (dev) => dev.name === "cilium_wg0"),
  lxc_health: (kernel) => deviceLines(kernel, (dev) => dev.name === "lxc_health"),
  "endpoint routes": (kernel) =>
    firstLine("ip route", routesText(kernel.initNs), (line) => / dev lxc[0-9a-f]{12} /.test(line)),
  "subnet.env": (kernel) => {
    const text = kernel.files.read("/run/flannel/subnet.env");
    return text === undefined ? undefined : `$ cat /run/flannel/subnet.env\n${text.trimEnd()}`;
  },
};

function blackholes(kernel: Kernel): string | undefined {
  return firstLine("ip route", routesText(kernel.initNs), (line) => line.startsWith("blackhole "));
}

function deviceLines(
  kernel: Kernel,
  fits: (dev: NetDevice) => boolean,
  details = false,
): string | undefined {
  const at = kernel.initNs.devices.findIndex(fits);
  if (at < 0) return undefined;
  // Two lines a device, or three with its kind's own.
  const blocks = linksText(kernel.initNs, { details }).split(/\n(?=\d+: )/);
  const block = blocks[at]?.trimEnd();
  return block && `$ ip ${details ? "-d " : ""}link\n${block}`;
}

/** The three lines by which a tunnel end reaches another node. */
function vtepLines(kernel: Kernel): string | undefined {
  const { initNs } = kernel;
  for (const dev of initNs.devices) {
    if (!(dev instanceof Vxlan)) continue;
    const route = [...initNs.fib4.main.routes()].find(
      (r) => r.nexthops[0]?.gateway !== undefined && r.nexthops[0].dev === dev,
    );
    const gateway = route?.nexthops[0]?.gateway;
    if (route === undefined || gateway === undefined) continue;
    const neighbour = neighboursText(initNs)
      .split("\n")
      .find((line) => line.startsWith(`${formatIp(gateway)} dev ${dev.name} `));
    const mac = neighbour?.split(" ")[4];
    const fdb = fdbText(initNs)
      .split("\n")
      .find((line) => mac !== undefined && line.startsWith(`${mac} dev ${dev.name} `));
    return [
      `route      ${routeText(route).trimEnd()}`,
      ...(neighbour === undefined ? [] : [`neighbour  ${neighbour.trimEnd()}`]),
      ...(fdb === undefined ? [] : [`fdb        ${fdb.trimEnd()}`]),
    ].join("\n");
  }
  return undefined;
}

/** Two routes of which one holds the other. */
function longestPrefix(kernel: Kernel): string | undefined {
  const routes = [...kernel.initNs.fib4.main.routes()];
  for (const narrow of routes) {
    const wide = routes.find(
      (r) =>
        r !== narrow && r.prefix.length < narrow.prefix.length && r.prefix.covers(narrow.prefix),
    );
    if (wide === undefined) continue;
    return `${routeText(narrow).trimEnd()}\nwins over\n${routeText(wide).trimEnd()}`;
  }
  return undefined;
}

function firstLine(
  command: string,
  text: string,
  fits: (line: string) => boolean = (line) => line !== "",
): string | undefined {
  const found = text.split("\n").find(fits);
  return found === undefined || found === "" ? undefined : `$ ${command}\n${found.trimEnd()}`;
}

function portsOf(netns: NetNamespace): NetDevice[] {
  return netns.devices.filter((dev) => dev.bridgePort !== undefined);
}

function sysctlLine(kernel: Kernel, path: string): string {
  return `${path} = ${kernel.initNs.sysctl.getText(path)}`;
}
