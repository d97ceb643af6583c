import type { Step } from "./topology.ts";

/** What a step shows, in a word or two each. */
export function featuresOf(step: Step): string[] {
  switch (step.do) {
    case "route": {
      if (step.nexthops !== undefined) return ["route multipath"];
      const mtu = step.mtu === undefined ? [] : ["route mtu"];
      return [`route ${step.type ?? "unicast"}`, ...mtu];
    }
    case "rule":
      return Object.keys(step.rule)
        .filter((key) => key !== "priority" && key !== "action")
        .concat(step.from === undefined ? [] : "from", step.to === undefined ? [] : "to")
        .map((key) => `rule ${key}`);
    case "sysctl":
      return [`sysctl ${step.path.replace(/conf\/[^/]+/, "conf/*")}`];
    case "iptables":
      return [
        `iptables table ${step.table}`,
        ...[...step.rule.matchAll(/-m ([a-z0-9]+)/g)].map(([, name]) => `iptables -m ${name}`),
        ...[...step.rule.matchAll(/-j ([A-Z]+)\b(?!-)/g)].map(([, name]) => `iptables -j ${name}`),
        ...(/ -[jg] USER/.test(step.rule) ? ["iptables user chain"] : []),
      ];
    case "ipset":
      return [`ipset ${step.text.split(/\s/)[2]}`];
    case "service":
      return [
        `kube-proxy ${step.mode}`,
        `kube-proxy ${step.protocol} over IPv${step.family}`,
        ...(step.endpoints.length > 1 ? ["kube-proxy several endpoints"] : []),
        ...(step.nodePort === undefined ? [] : ["kube-proxy node port"]),
        ...(step.loadBalancerIP === undefined ? [] : ["kube-proxy load balancer"]),
        ...(step.externalIP === undefined ? [] : ["kube-proxy external IP"]),
        ...(step.affinity ? ["kube-proxy session affinity"] : []),
        ...(step.internalLocal || step.externalLocal ? ["kube-proxy policy Local"] : []),
      ];
    case "frame":
      return [
        `frame ${step.protocol} over IPv${step.dst.includes(":") ? 6 : 4}`,
        ...(step.fragments === undefined ? [] : ["frame in fragments"]),
        ...(step.ttl === undefined ? [] : ["frame with a low TTL"]),
        ...(step.tos === undefined ? [] : ["frame with TOS"]),
      ];
    case "nftables":
      return nftablesFeatures(step.text);
    case "flow": {
      const { flow } = step;
      const family = flow.dst.includes(":") ? 6 : 4;
      return [
        `flow ${flow.protocol} over IPv${family}`,
        ...(flow.ttl === undefined ? [] : [`flow ${flow.protocol} with a low TTL`]),
        ...(flow.spoofed === true ? ["flow with a spoofed source"] : []),
        ...(flow.length > 1500 ? [`flow ${flow.protocol} in fragments`] : []),
      ];
    }
    default:
      return [step.do];
  }
}

const NFTABLES_WORDS: readonly (readonly [feature: string, pattern: RegExp])[] = [
  ["chain", /^add chain/],
  ["set", /^add set/],
  ["verdict map", /^add map/],
  ["interval", /flags interval|[0-9a-f]-[0-9a-f]|\/\d+/],
  ["concatenation", /[a-z]+ \. [a-z]+/],
  ["vmap", / vmap /],
  ["map", / map /],
  ["numgen", /numgen/],
  ["fib", /\bfib\b/],
  ["ct", /\bct (state|mark|status|direction|original|reply|protocol|zone)/],
  ["meta", /\bmeta\b|[io]if/],
  ["limit", /limit rate/],
  ["quota", /quota/],
  ["mark", /mark set/],
  ["reject", /reject/],
  ["dnat", /dnat/],
  ["snat", /snat/],
  ["masquerade", /masquerade/],
  ["redirect", /redirect/],
  ["notrack", /notrack/],
  ["header field set", /(ttl|hoplimit|dscp) set/],
  ["jump", /jump|goto/],
];

function nftablesFeatures(text: string): string[] {
  return NFTABLES_WORDS.filter(([, pattern]) => pattern.test(text)).map(([name]) => `nft ${name}`);
}
