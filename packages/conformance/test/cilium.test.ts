import { cilium } from "@cnilab/cilium";
import { describe, expect, test } from "vitest";
import { type CheckResult, conformance } from "../src/index.ts";

const families = { IPv4: [4], IPv6: [6], "dual-stack": [4, 6] } as const;
type Families = keyof typeof families;

const DIRECT = { routingMode: "native", autoDirectNodeRoutes: true } as const;
const WITHOUT_KUBE_PROXY = { kubeProxyReplacement: true } as const;
const WIREGUARD = { "encryption.enabled": true, "encryption.type": "wireguard" } as const;

const variants: readonly {
  readonly options: Readonly<Record<string, string | boolean>>;
  readonly proxyMode: "iptables" | "nftables" | "ipvs";
  readonly family: Families;
}[] = [
  { options: {}, proxyMode: "iptables", family: "IPv4" },
  { options: { tunnelProtocol: "geneve" }, proxyMode: "nftables", family: "dual-stack" },
  { options: DIRECT, proxyMode: "iptables", family: "dual-stack" },
  { options: { "endpointRoutes.enabled": true }, proxyMode: "ipvs", family: "IPv4" },
  {
    options: { ...DIRECT, "endpointRoutes.enabled": true, "ipam.mode": "kubernetes" },
    proxyMode: "iptables",
    family: "IPv6",
  },
  { options: WIREGUARD, proxyMode: "iptables", family: "IPv4" },
  { options: { ...DIRECT, ...WIREGUARD }, proxyMode: "iptables", family: "IPv4" },
  { options: WITHOUT_KUBE_PROXY, proxyMode: "iptables", family: "IPv4" },
  {
    options: { ...WITHOUT_KUBE_PROXY, "bpf.masquerade": true },
    proxyMode: "iptables",
    family: "dual-stack",
  },
  {
    options: { ...WITHOUT_KUBE_PROXY, ...DIRECT, "bpf.masquerade": true },
    proxyMode: "iptables",
    family: "IPv4",
  },
];

/** What Cilium v1.18 does not do. The Service asked for has another port than its pods. */
function isLimitation(check: string, problem: string): boolean {
  if (!check.startsWith("a Service answers")) return false;
  // Documentation/configuration/sctp.rst: ports of SCTP cannot be rewritten.
  if (problem.includes("(SCTP)")) return true;
  // A pod that a Service leads to itself needs another source, and there is one for IPv4 alone (bpf/lib/lb.h lb6_local).
  return / -> fd[0-9a-f:]+ .*\/lo: NO_SOCKET/.test(problem);
}

describe.each(
  variants.map((v) => ({
    ...v,
    name: `${JSON.stringify(v.options)}, ${v.family}, kube-proxy by ${v.proxyMode} where it runs`,
  })),
)("cilium $name", async ({ options, proxyMode, family }) => {
  const results: CheckResult[] = [];
  const ipFamilies = families[family];
  // Without it Cilium drops SCTP: "CT: Unknown L4 protocol".
  const withSctp = { ...options, "sctp.enabled": true };
  const subject = { model: cilium, options: withSctp, ipFamilies, proxyMode };
  for await (const result of conformance(subject)) {
    results.push(result);
  }
  test.each(results)("$name", ({ name, problems }) => {
    const unknown = problems.filter((problem) => !isLimitation(name, problem));
    expect(unknown.slice(0, 5)).toEqual([]);
  });
});
