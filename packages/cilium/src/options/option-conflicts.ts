import { InputError } from "@cnilab/core";
import type { AgentConfig } from "./agent-config.ts";

/**
 * What the agent would end with at its start, as values contradict each other (daemon/cmd/daemon_main.go initEnv, daemon/cmd/kube_proxy_replacement.go
 * initKubeProxyReplacementOptions, pkg/option/config.go Validate). @throws InputError with the path of one of them
 */
export function checkCombination(config: AgentConfig): void {
  for (const [path, problem] of conflicts(config)) throw new InputError(problem, path);
}

function* conflicts(config: AgentConfig): Iterable<readonly [path: string, problem: string]> {
  yield* routingConflicts(config);
  yield* serviceConflicts(config);
}

function* routingConflicts({
  routing,
  families,
  services,
  masquerade,
  wireguard,
}: AgentConfig): Iterable<readonly [string, string]> {
  const tunnels = routing.mode === "tunnel";
  if (tunnels && routing.autoDirectNodeRoutes) {
    yield [
      "autoDirectNodeRoutes",
      "cannot be used with tunneling: packets must be routed through the tunnel device; set routingMode=native",
    ];
  }
  if (routing.skipUnreachable && !routing.autoDirectNodeRoutes) {
    yield ["directRoutingSkipUnreachable", "cannot be enabled where autoDirectNodeRoutes is not"];
  }
  if (tunnels && !families.includes(routing.underlay)) {
    yield [
      "underlayProtocol",
      `is ipv${routing.underlay}, and nodes have no IPv${routing.underlay} address; see --ip-families`,
    ];
  }
  if (routing.noConntrackRules) {
    const path = "installNoConntrackIptablesRules";
    if (tunnels) yield [path, "requires routingMode=native"];
    if (!families.includes(4)) yield [path, "requires IPv4"];
    if (!services.kubeProxyReplacement) yield [path, "requires kubeProxyReplacement=true"];
    if ((masquerade.ipv4 || masquerade.ipv6) && !masquerade.bpf) {
      yield [path, "requires bpf.masquerade=true"];
    }
  }
  if (wireguard?.strict !== undefined && !families.includes(4)) {
    yield ["encryption.strictMode.cidr", "must be an IPv4 CIDR, and the cluster has no IPv4"];
  }
}

function* serviceConflicts({
  services,
  routing,
  masquerade,
}: AgentConfig): Iterable<readonly [string, string]> {
  const { mode, dsrDispatch, acceleration } = services;
  const tunnels = routing.mode === "tunnel";
  const dsr = mode !== "snat";
  if (masquerade.nonMasqueradeCidrs !== undefined && !masquerade.bpf) {
    yield ["ipMasqAgent.enabled", "requires bpf.masquerade=true"];
  }
  if (!services.nodePort) {
    if (masquerade.bpf) {
      yield [
        "bpf.masquerade",
        "requires NodePort by eBPF: kubeProxyReplacement=true or nodePort.enabled=true",
      ];
    }
    return;
  }
  if (!dsr) return;
  if (dsrDispatch === "ipip" && acceleration === "disabled") {
    yield [
      "loadBalancer.dsrDispatch",
      "ipip is only available under XDP acceleration: loadBalancer.acceleration=native",
    ];
  }
  if (tunnels && routing.tunnelProtocol === "vxlan") {
    yield [
      "loadBalancer.mode",
      `${mode} cannot be used with vxlan tunneling; set tunnelProtocol=geneve and loadBalancer.dsrDispatch=geneve, or routingMode=native`,
    ];
  }
  if (tunnels && dsrDispatch !== "geneve") {
    yield [
      "loadBalancer.dsrDispatch",
      `must be geneve where routingMode is tunnel and loadBalancer.mode is ${mode}`,
    ];
  }
  if (dsrDispatch === "geneve" && routing.tunnelProtocol !== "geneve") {
    yield ["loadBalancer.dsrDispatch", "geneve requires tunnelProtocol=geneve"];
  }
}
