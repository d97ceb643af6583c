import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import type { Iptables, NetNamespace } from "@cnilab/linux";
import { formatIp, type IpFamily } from "@cnilab/net";
import { failure } from "./failure.ts";
import { listText, quote } from "./go-text.ts";
import { appendUnique, deleteRule, ensureChain, hasRule, prependUnique } from "./iptables-rules.ts";
import { addressesOf } from "./parsed-result.ts";
import { asVersion } from "./result-version.ts";
import { kernelOf } from "./sandbox-netns.ts";
import { versionsSince } from "./spec-version.ts";

const FORWARD_CHAIN = "CNI-FORWARD";
const TABLE = "filter";

type IngressPolicy = "" | "open" | "same-bridge" | "isolated";

/** Lets a container's packets through FORWARD (plugins/meta/firewall, iptables backend). */
export const firewall: CniPlugin = {
  type: "firewall",
  supportedVersions: versionsSince("0.4.0"),

  add(call: CniCall): CniResult {
    const result = call.config.prevResult;
    if (result === undefined) throw failure("missing prevResult from earlier plugin");
    refuseFirewalld(call);
    const host = kernelOf(call).initNs;
    for (const family of [4, 6] as const) {
      const rules = rulesFor(result, family);
      if (rules.length === 0) continue;
      const iptables = host.iptables(family);
      setupChains(iptables, adminChain(call));
      for (const rule of rules) appendUnique(iptables, TABLE, FORWARD_CHAIN, rule);
    }
    setupIngressPolicy(call, host, result);
    return asVersion(result, call.config.cniVersion);
  },

  del(call: CniCall): void {
    refuseFirewalld(call);
    const result = call.config.prevResult;
    const host = kernelOf(call).initNs;
    for (const family of [4, 6] as const) {
      const iptables = host.findIptables(family);
      if (iptables === undefined || result === undefined) continue;
      for (const rule of rulesFor(result, family)) {
        deleteRule(iptables, TABLE, FORWARD_CHAIN, rule);
      }
    }
    // The rules of the ingress policy may be others' too: they stay.
    ingressPolicy(call);
  },

  check(call: CniCall): void {
    const result = call.config.prevResult;
    if (result === undefined) throw failure("missing prevResult from earlier plugin");
    refuseFirewalld(call);
    const host = kernelOf(call).initNs;
    for (const family of [4, 6] as const) {
      const rules = rulesFor(result, family);
      if (rules.length > 0) checkRules(host.iptables(family), adminChain(call), rules);
    }
  },
};

/** @throws CniError */
function refuseFirewalld({ config }: CniCall): void {
  if (config["backend"] === "firewalld") {
    throw failure("firewalld is not modelled: take the iptables backend");
  }
}

function adminChain({ config }: CniCall): string {
  return (config["iptablesAdminChainName"] as string | undefined) || "CNI-ADMIN";
}

/** For each address: answers to it, and all that comes from it. */
function rulesFor(result: CniResult, family: IpFamily): string[][] {
  const rules: string[][] = [];
  for (const { address } of addressesOf(result)) {
    if ((typeof address === "number" ? 4 : 6) !== family) continue;
    const host = `${formatIp(address)}/${family === 4 ? 32 : 128}`;
    const answers = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"];
    rules.push(["-d", host, ...answers, "-j", "ACCEPT"]);
    rules.push(["-s", host, "-j", "ACCEPT"]);
  }
  return rules;
}

function commented(comment: string, rule: readonly string[]): string[] {
  return ["-m", "comment", "--comment", comment, ...rule];
}

function forwardRule(): string[] {
  return commented("CNI firewall plugin rules", ["-j", FORWARD_CHAIN]);
}

function adminRule(chain: string): string[] {
  return commented("CNI firewall plugin admin overrides", ["-j", chain]);
}

function setupChains(iptables: Iptables, admin: string): void {
  ensureChain(iptables, TABLE, FORWARD_CHAIN);
  ensureChain(iptables, TABLE, admin);
  prependUnique(iptables, TABLE, "FORWARD", forwardRule());
  prependUnique(iptables, TABLE, FORWARD_CHAIN, adminRule(admin));
}

/** CHECK makes the chains where they are missing, and then finds them without rules. @throws CniError */
function checkRules(iptables: Iptables, admin: string, rules: readonly string[][]): void {
  ensureChain(iptables, TABLE, FORWARD_CHAIN);
  ensureChain(iptables, TABLE, admin);
  if (!hasRule(iptables, TABLE, "FORWARD", forwardRule())) {
    throw failure(`expected FORWARD rule ${listText(forwardRule())} not found`);
  }
  if (!hasRule(iptables, TABLE, FORWARD_CHAIN, adminRule(admin))) {
    throw failure(`expected ${FORWARD_CHAIN} rule ${listText(adminRule(admin))} not found`);
  }
  for (const rule of rules) {
    if (!hasRule(iptables, TABLE, FORWARD_CHAIN, rule)) {
      throw failure(`expected rule ${listText(rule)} not found`);
    }
  }
}

/** @throws CniError */
function ingressPolicy({ config }: CniCall): IngressPolicy {
  const policy = (config["ingressPolicy"] as string | undefined) ?? "";
  if (policy === "" || policy === "open" || policy === "same-bridge" || policy === "isolated") {
    return policy;
  }
  throw failure(`unknown ingress policy: ${quote(policy)}`);
}

function setupIngressPolicy(call: CniCall, host: NetNamespace, result: CniResult): void {
  const policy = ingressPolicy(call);
  if (policy !== "same-bridge" && policy !== "isolated") return;
  const bridge = result.interfaces?.[0];
  if (bridge === undefined) {
    throw failure(
      `interface needs to be set for ingress policy ${quote(policy)}, make sure to chain "firewall" plugin with "bridge"`,
    );
  }
  if (bridge.name === "") throw failure("got empty bridge name");
  for (const { address } of addressesOf(result)) {
    isolateBridge(host.iptables(typeof address === "number" ? 4 : 6), bridge.name, policy);
  }
}

/**
 * Drops what comes from another bridge, as Docker does between its networks; `isolated` also what comes
 * from the same one (plugins/meta/firewall/ingresspolicy.go).
 */
function isolateBridge(
  iptables: Iptables,
  bridge: string,
  policy: "same-bridge" | "isolated",
): void {
  const stage1 = "CNI-ISOLATION-STAGE-1";
  const stage2 = "CNI-ISOLATION-STAGE-2";
  const shared = (rule: readonly string[]) =>
    commented("CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)", rule);
  const own = (rule: readonly string[]) =>
    commented(`CNI firewall plugin rules (ingressPolicy: ${policy})`, rule);

  ensureChain(iptables, TABLE, stage1);
  ensureChain(iptables, TABLE, stage2);
  prependUnique(iptables, TABLE, "FORWARD", shared(["-j", stage1]));
  prependUnique(iptables, TABLE, stage1, own(["-i", bridge, "!", "-o", bridge, "-j", stage2]));
  if (policy === "isolated") {
    prependUnique(iptables, TABLE, stage1, own(["-i", bridge, "-o", bridge, "-j", "DROP"]));
  }
  appendUnique(iptables, TABLE, stage1, shared(["-j", "RETURN"]));
  prependUnique(iptables, TABLE, stage2, shared(["-o", bridge, "-j", "DROP"]));
  appendUnique(iptables, TABLE, stage2, shared(["-j", "RETURN"]));
}
