import { familyOf, formatIp, type IpFamily, type Prefix } from "@cnilab/net";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import { AddressRange } from "../ipam/address-range.ts";
import { ProxyPart } from "../proxy/proxy-part.ts";
import { PROXY_PORT_RANGE } from "../proxy/proxy-ports.ts";
import { RELEASE } from "../release.ts";
import { dbgTable } from "./dbg-table.ts";
import type { DbgOutput } from "./listing.ts";

/**
 * `cilium-dbg status` (pkg/client/client.go FormatStatusResponse), those lines that tell of the network: which there are of
 * the API server, of controllers and of processes is left out.
 */
export function agentStatus(agent: CiliumAgent): DbgOutput {
  const { config } = agent;
  const { services, routing, policy, wireguard } = config;
  const devices = devicesOf(agent);
  const names = devices.map(({ name }) => name).join(", ");
  const warnings = agent.warnings.length;
  const lines = [
    `KubeProxyReplacement:\t${services.kubeProxyReplacement ? "True" : "False"}\t${proxyDevices(agent)}`,
    `Host firewall:\t${policy.hostFirewall ? `Enabled\t[${names}]` : "Disabled"}`,
    `Cilium:\tOk   ${RELEASE.slice(1)}`,
    `IPAM:\t${ipamText(agent)}`,
    `Routing:\tNetwork: ${routing.mode === "tunnel" ? `Tunnel [${routing.tunnelProtocol}]` : "Native"}\tHost: ${agent.nodeConfig.hostRouting ? "BPF" : "Legacy"}`,
    `Attach Mode:\t${config.tcx ? "TCX" : "Legacy TC"}`,
    "Device Mode:\tveth",
    `Masquerading:\t${masquerading(agent, names)}`,
    `Proxy Status:\t${proxyText(agent)}`,
    "Global Identity Range:\tmin 256, max 65535",
    `Encryption:\t${wireguard === undefined ? "Disabled\t" : `Wireguard\t[NodeEncryption: ${wireguard.nodeEncryption ? "Enabled" : "Disabled"}]`}`,
  ];
  return {
    text: dbgTable(lines, 2),
    json: {
      cilium: { state: "Ok", msg: RELEASE.slice(1) },
      "kube-proxy-replacement": {
        mode: services.kubeProxyReplacement ? "True" : "False",
        deviceList: devices.map(({ name, ips }) => ({ name, ip: ips })),
      },
      "host-firewall": { mode: policy.hostFirewall ? "Enabled" : "Disabled" },
      ipam: { status: ipamText(agent) },
      routing: {
        "inter-host-routing-mode": routing.mode === "tunnel" ? "Tunnel" : "Native",
        "tunnel-protocol": routing.tunnelProtocol,
        "intra-host-routing-mode": agent.nodeConfig.hostRouting ? "BPF" : "Legacy",
      },
      ...proxyJson(agent),
      "identity-range": { "min-identity": 256, "max-identity": 65_535 },
    },
    ...(warnings > 0 && { note: agent.warnings.join("\n") }),
  };
}

function proxyText(agent: CiliumAgent): string {
  const redirects = agent.part(ProxyPart)?.proxies.redirects;
  if (redirects === undefined) return "No managed proxy redirect";
  const { length } = redirects;
  return `OK, ip ${proxyIp(agent)}, ${length} redirects active on ports ${PROXY_PORT_RANGE}, Envoy: external`;
}

/** `models.ProxyStatus` */
function proxyJson(agent: CiliumAgent): object {
  const redirects = agent.part(ProxyPart)?.proxies.redirects;
  if (redirects === undefined) return {};
  return {
    proxy: {
      "envoy-deployment-mode": "external",
      ip: proxyIp(agent),
      "port-range": PROXY_PORT_RANGE,
      redirects: redirects.map(({ name, proxy, proxyPort }) => ({
        name,
        proxy,
        "proxy-port": proxyPort,
      })),
      "total-ports": new Set(redirects.map(({ proxy }) => proxy)).size,
      "total-redirects": redirects.length,
    },
  };
}

function proxyIp(agent: CiliumAgent): string {
  const router = agent.router(4);
  return router === undefined ? "n/a" : formatIp(router);
}

interface StatusDevice {
  readonly name: string;
  readonly ips: readonly string[];
  readonly isDirect: boolean;
}

function devicesOf({ kernel, nodeConfig }: CiliumAgent): StatusDevice[] {
  return nodeConfig.devices.flatMap(({ ifindex }) => {
    const dev = [...kernel.initNs.devices].find((each) => each.ifindex === ifindex);
    if (dev === undefined) return [];
    const ips = dev.addresses.map(({ address }) => formatIp(address));
    return [{ name: dev.name, ips, isDirect: ifindex === nodeConfig.directRoutingIfindex }];
  });
}

function proxyDevices(agent: CiliumAgent): string {
  if (!agent.config.services.kubeProxyReplacement) return "";
  const texts = devicesOf(agent).map(
    ({ name, ips, isDirect }) => `${name} ${ips.join(" ")}${isDirect ? " (Direct Routing)" : ""}`,
  );
  return texts.length === 0 ? "" : `[${texts.join(", ")}]`;
}

/** `IPv4: 4/254 allocated from 10.244.1.0/24, ` */
function ipamText(agent: CiliumAgent): string {
  const ranges = agent.ipam.ranges();
  const taken = [...agent.endpoints].flatMap(({ addresses }) => addresses);
  const { routerIpv4, routerIpv6 } = agent.nodeConfig;
  const all = new Set([...taken, routerIpv4, routerIpv6].filter((ip) => ip !== undefined));
  const of = (family: IpFamily) => {
    const own = ranges.filter((range) => range.family === family);
    const used = [...all].filter(
      (ip) => familyOf(ip) === family && own.some((r) => r.contains(ip)),
    );
    const capacity = own.reduce((sum, range: Prefix) => sum + AddressRange.capacityOf(range), 0);
    return own.length === 0
      ? ""
      : `IPv${family}: ${used.length}/${capacity} allocated from ${own.join(", ")}`;
  };
  const { families } = agent.config;
  return ([4, 6] as const)
    .map((family) => (families.includes(family) ? of(family) : ""))
    .join(", ");
}

function masquerading({ config, nodeConfig }: CiliumAgent, devices: string): string {
  const { families, masquerade } = config;
  const word = (on: boolean) => (on ? "Enabled" : "Disabled");
  const [v4, v6] = [
    masquerade.ipv4 && families.includes(4),
    masquerade.ipv6 && families.includes(6),
  ];
  if (!v4 && !v6) return "Disabled";
  const bpf = masquerade.nonMasqueradeCidrs === undefined ? "BPF" : "BPF (ip-masq-agent)";
  const { snatExclusionIpv4 = "", snatExclusionIpv6 = "" } = nodeConfig;
  const how = masquerade.bpf
    ? `${bpf}\t[${devices}]\t${snatExclusionIpv4} ${snatExclusionIpv6}`
    : "IPTables";
  return `${how} [IPv4: ${word(v4)}, IPv6: ${word(v6)}]`;
}
