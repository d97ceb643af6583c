import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { RESERVED_IDENTITY } from "../../../identity/numeric-identity.ts";
import type { BpfObject } from "../bpf-object.ts";
import type { ExtendedError } from "../drop.ts";
import { DROP_NAT_NO_MAPPING, isError } from "../drop-reason.ts";
import { hostIngressLookup, hostPolicyIngress } from "../host-firewall.ts";
import { setSnatDone } from "../mark.ts";
import { TC_INDEX_F_SKIP_HOST_FIREWALL } from "../meta.ts";
import { NAT_PUNT_TO_STACK, natTarget } from "../nat/nat-target.ts";
import { snatReverseNat } from "../nat/snat.ts";
import { TRACE_PAYLOAD_LEN, unknownTrace } from "../trace.ts";
import { nodePortReverseDnat } from "./reverse-dnat.ts";
import { isSnatEnabled } from "./uses-dsr.ts";

/**
 * What is for no service: it may answer somebody whose source this node has translated
 * (`tail_nodeport_nat_ingress_ipv4`, `tail_nodeport_nat_ingress_ipv6`).
 * @returns a verdict that sends it on, `TC_ACT_OK` for what goes on here, or a reason to drop
 */
export function nodePortNatIngress(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number {
  const { config } = obj;
  const trace = unknownTrace(TRACE_PAYLOAD_LEN);
  const ret = snatReverseNat(ctx, obj, natTarget(config, ctx.ip.dst), trace);
  // What answers nothing is the node's own affair.
  if (ret === NAT_PUNT_TO_STACK || ret === DROP_NAT_NO_MAPPING) return TC_ACT_OK;
  if (ret !== 0) return ret;
  setSnatDone(ctx);
  if (!isSnatEnabled(config.lb)) return TC_ACT_OK;
  if (config.hostFirewall && obj.source === "host") {
    const firewall = hostIngressLookup(ctx, obj);
    if (firewall !== undefined) {
      if (firewall.ret < 0) return firewall.ret;
      const { unknown } = RESERVED_IDENTITY;
      const checked = hostPolicyIngress(ctx, obj, firewall, unknown, trace, extErr).ret;
      if (isError(checked)) return checked;
    }
    // Once is enough.
    ctx.tcIndex |= TC_INDEX_F_SKIP_HOST_FIREWALL;
  }
  return nodePortReverseDnat(ctx, obj, trace, extErr);
}
