import type { FilterRule } from "@cnilab/linux";

/** What a rule of kube-proxy is about: the choice of an endpoint, the rewriting of the source, or the Service itself. */
export interface ProxyReason {
  readonly about: "service" | "endpoint" | "source";
  /** In plain words. */
  readonly text: string;
}

/** Why kube-proxy wrote a rule, by how its release v1.35 words it; `undefined` for rules of others, and for plain ones. */
export function proxyReason(
  { location, text }: FilterRule,
  effect: string,
): ProxyReason | undefined {
  const chain = location.split(" ").at(-1) ?? "";
  return location.includes("kube-proxy")
    ? nftReason(chain, text, effect)
    : iptablesReason(chain, text, effect);
}

const CAME_BACK = "so that the answer comes back through this node";
const NOT_A_POD = `the source is no pod of the cluster: it is rewritten ${CAME_BACK}`;
const ALL = `kube-proxy is told to masquerade all: the source is rewritten ${CAME_BACK}`;
const POLICY_CLUSTER = `external policy Cluster: any node's endpoint may serve, and the source is rewritten ${CAME_BACK}`;
const POLICY_LOCAL = "policy Local: only endpoints on this node, and the source is kept";
const FROM_NODE =
  "from the node itself: its source is rewritten, as it need not be on the pods' network";
const HAIRPIN = `the endpoint asks itself: its source is rewritten ${CAME_BACK}`;
const SHORT_CIRCUIT =
  "from within the cluster: policy Local is for the outside, all endpoints serve";
const MARKED = "because a rule before has marked it";
const AFFINITY = "session affinity: the client had this endpoint before";
const SOURCE_RANGES = "the source is not in loadBalancerSourceRanges";

function iptablesReason(chain: string, text: string, effect: string): ProxyReason | undefined {
  const [, comment = ""] = /--comment "([^"]*)"/.exec(text) ?? [];
  if (chain === "KUBE-POSTROUTING") {
    if (!effect.startsWith("MASQUERADE")) return undefined;
    return source(text.includes("KUBE-LOOP-BACK") ? HAIRPIN : MARKED);
  }
  if (text.includes("--match-set") || chain === "KUBE-LOAD-BALANCER") {
    return ipvsReason(chain, text, effect);
  }
  if (chain === "KUBE-PROXY-FIREWALL") return about("service", SOURCE_RANGES);
  if (comment.endsWith("endpoints") && /REJECT|DROP/.test(effect)) return about("service", comment);
  if (chain === "KUBE-SERVICES" || chain === "KUBE-NODEPORTS") {
    return iptablesEntry(chain, comment, effect);
  }
  if (chain.startsWith("KUBE-EXT-")) return iptablesExternal(text, comment, effect);
  if (chain.startsWith("KUBE-SVC-") || chain.startsWith("KUBE-SVL-")) {
    if (effect === "jump KUBE-MARK-MASQ") return source(/! -[si] /.test(text) ? NOT_A_POD : ALL);
    return effect.startsWith("jump KUBE-SEP-")
      ? about("endpoint", iptablesChoice(text))
      : undefined;
  }
  if (chain.startsWith("KUBE-SEP-") && effect === "jump KUBE-MARK-MASQ") return source(HAIRPIN);
  return undefined;
}

/** Of the few rules that go with IPVS, those that mark. */
function ipvsReason(chain: string, text: string, effect: string): ProxyReason | undefined {
  if (effect === "jump KUBE-MARK-MASQ") {
    if (chain !== "KUBE-SERVICES") return source(POLICY_CLUSTER);
    return source(/! -[si] /.test(text) ? NOT_A_POD : ALL);
  }
  return text.includes("-LOCAL") && effect === "RETURN"
    ? about("service", `external ${POLICY_LOCAL}`)
    : undefined;
}

function iptablesEntry(chain: string, comment: string, effect: string): ProxyReason | undefined {
  if (comment === "" || effect === "jump KUBE-NODEPORTS") return undefined;
  const [, name = comment, what = "node port"] = /^(\S+) (.*)$/.exec(comment) ?? [];
  const which = chain === "KUBE-NODEPORTS" ? "node port" : what;
  const local = effect.startsWith("jump KUBE-SVL-") ? `; internal ${POLICY_LOCAL}` : "";
  return about("service", `${which} of Service ${name}${local}`);
}

function iptablesExternal(text: string, comment: string, effect: string): ProxyReason | undefined {
  if (effect === "jump KUBE-MARK-MASQ") {
    return source(comment.includes("LOCAL") ? FROM_NODE : POLICY_CLUSTER);
  }
  if (effect.startsWith("jump KUBE-SVL-")) return about("service", `external ${POLICY_LOCAL}`);
  const inside = comment.startsWith("pod traffic") || text.includes("--src-type LOCAL");
  return inside ? about("service", SHORT_CIRCUIT) : undefined;
}

function iptablesChoice(text: string): string {
  if (text.includes("-m recent --rcheck")) return AFFINITY;
  const [, probability] = /--probability (\S+)/.exec(text) ?? [];
  if (probability === undefined) return "no rule before took it, and this one takes what is left";
  return `by chance, one of ${Math.round(1 / Number(probability))} that were left`;
}

function nftReason(chain: string, text: string, effect: string): ProxyReason | undefined {
  const goes = /^(?:goto|jump) ([a-z]+)-\S*?-(\S+)$/.exec(effect);
  const [, kind, name = ""] = goes ?? [];
  const marks = effect === "jump mark-for-masquerade";
  if (chain === "masquerading") return effect.startsWith("masquerade") ? source(MARKED) : undefined;
  if (chain.startsWith("firewall-") && effect === "drop") return about("service", SOURCE_RANGES);
  if (/no-endpoint-(services|nodeports)/.test(text)) {
    const lost = effect === "drop" ? "has endpoints, but none on this node" : "has no endpoints";
    return about("service", `the Service ${lost}`);
  }
  if (chain === "services" && goes !== null) {
    const what = text.includes("@service-nodeports") ? "node port" : "address";
    const local = kind === "local" ? `; internal ${POLICY_LOCAL}` : "";
    return about("service", `${what} of Service ${serviceName(name)}${local}`);
  }
  if (chain.startsWith("external-")) {
    if (marks) return source(text.includes("fib saddr type local") ? FROM_NODE : POLICY_CLUSTER);
    if (kind === "local") return about("service", `external ${POLICY_LOCAL}`);
    const inside = kind === "service" && !text.startsWith("goto ");
    return inside ? about("service", SHORT_CIRCUIT) : undefined;
  }
  if (chain.startsWith("service-") || chain.startsWith("local-")) {
    if (marks) return source(/(saddr|iifname) != /.test(text) ? NOT_A_POD : ALL);
    if (kind !== "endpoint") return undefined;
    if (text.includes("@affinity-")) return about("endpoint", AFFINITY);
    const [, count] = /numgen random mod (\d+)/.exec(text) ?? [];
    return about("endpoint", count === "1" ? "the only one" : `by chance, one of ${count}`);
  }
  if (chain.startsWith("endpoint-") && marks) return source(HAIRPIN);
  return undefined;
}

/** `default/web` of `default/web/tcp/http`. */
function serviceName(name: string): string {
  return name.split("/").slice(0, 2).join("/");
}

function about(what: ProxyReason["about"], text: string): ProxyReason {
  return { about: what, text };
}

function source(text: string): ProxyReason {
  return about("source", text);
}
