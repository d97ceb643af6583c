import { sha3_224 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";
import type { PolicyId } from "../calc/messages.ts";
import { lengthLimitedId } from "../hash/length-limited-id.ts";
import { policyIdText } from "./policy-id.ts";

/** What renders the chains: iptables' names are short (XT_EXTENSION_MAXNAMELEN less the NUL), nftables' are not. */
export type ChainBackend = "iptables" | "nftables";

/** `felix/iptables/table.go` and `felix/nftables/table.go` MaxChainNameLength. */
export const MAX_CHAIN_NAME_LENGTH: Readonly<Record<ChainBackend, number>> = {
  iptables: 28,
  nftables: 256,
};

/** Of traffic, seen from the endpoint. */
export type PolicyDirection = "inbound" | "outbound";

/** What an endpoint's chains begin with (`felix/rules/rule_defs.go`): to and from a workload, to and from a host endpoint, forwarded through it, set-mark. */
export type EndpointChainPrefix =
  | "cali-tw-"
  | "cali-fw-"
  | "cali-th-"
  | "cali-fh-"
  | "cali-thfw-"
  | "cali-fhfw-"
  | "cali-sm-";

/** Chain of a policy in one direction (`felix/rules/policy.go` PolicyChainName). */
export function policyChainName(
  id: PolicyId,
  direction: PolicyDirection,
  backend: ChainBackend,
): string {
  const prefix = direction === "inbound" ? "cali-pi-" : "cali-po-";
  return lengthLimitedId(prefix, policyIdText(id), MAX_CHAIN_NAME_LENGTH[backend]);
}

/** Chain of a profile in one direction (`felix/rules/policy.go` ProfileChainName). */
export function profileChainName(
  profile: string,
  direction: PolicyDirection,
  backend: ChainBackend,
): string {
  const prefix = direction === "inbound" ? "cali-pri-" : "cali-pro-";
  return lengthLimitedId(prefix, profile, MAX_CHAIN_NAME_LENGTH[backend]);
}

/** Chain of an endpoint by its interface (`felix/rules/endpoints.go` EndpointChainName). */
export function endpointChainName(
  prefix: EndpointChainPrefix,
  iface: string,
  backend: ChainBackend,
): string {
  return lengthLimitedId(prefix, iface, MAX_CHAIN_NAME_LENGTH[backend]);
}

/** Chain of neighbouring policies with the same selector, alike for both backends (`felix/rules/endpoints.go` PolicyGroup.ChainName). */
export function policyGroupChainName(
  selector: string,
  direction: PolicyDirection,
  policies: readonly PolicyId[],
): string {
  const lines = [
    selector,
    direction,
    String(policies.length),
    ...policies.map((p) => `{Name: ${p.name}, Namespace: ${p.namespace ?? ""}, Kind: ${p.kind}}`),
  ];
  const prefix = direction === "inbound" ? "cali-gi-" : "cali-go-";
  const uid = base64urlnopad.encode(
    sha3_224(utf8ToBytes(lines.map((line) => `${line}\n`).join(""))),
  );
  return prefix + uid.slice(0, MAX_CHAIN_NAME_LENGTH.iptables - prefix.length);
}
