import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { CtTuple } from "../maps/conntrack-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { CtState } from "./ct-state.ts";
import type { ExtendedError } from "./drop.ts";
import type { TraceCtx } from "./trace.ts";

/** What a pod's packet has become before its connection is looked up (`lb4_ctx_store_state`). */
export class ServiceTranslation {
  readonly state: CtState = new CtState();
  /** Of a service that a proxy balances; 0 for none. */
  proxyPort = 0;
}

/** What `nodeport_lb4` says beside its verdict. */
export class NodePortOutcome {
  /**
   * The verdict is the program's own, and a drop has been told of: what C does by tail call. Else the packet goes on here,
   * where need be as one that comes anew (`ctx_skip_nodeport_set`).
   */
  final = false;
  puntToStack = false;
  isDsr = false;
}

/** Where programs ask about services. Verdicts less than 0 are reasons to drop, which the program then tells of. */
export interface ServiceHooks {
  /** Translates a pod's packet to a service (`__per_packet_lb_svc_xlate_4`). Anything but TC_ACT_OK is the verdict. */
  perPacketLb(
    ctx: TcContext,
    obj: BpfObject,
    translation: ServiceTranslation,
    extErr: ExtendedError,
  ): number;
  /** Puts the service back into an answer that is for a pod of this node (`lb4_rev_nat`, `lb6_rev_nat`). */
  revNat(ctx: TcContext, obj: BpfObject, tuple: CtTuple, state: CtState): number;
  /** Of an answer of a pod to who asked it through this node (`tail_nodeport_rev_dnat_ingress_ipv4`). The verdict. */
  nodePortRevNat(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number;
  /** Services that the network asks this node for (`nodeport_lb4`, `nodeport_lb6`). */
  nodePortLb(
    ctx: TcContext,
    obj: BpfObject,
    identity: NumericIdentity,
    outcome: NodePortOutcome,
    extErr: ExtendedError,
  ): number;
  /**
   * Addresses of what leaves the node (`handle_nat_fwd`).
   * @returns the program's verdict, drops told of; `undefined` where it is not asked about
   */
  natFwd(
    ctx: TcContext,
    obj: BpfObject,
    identity: NumericIdentity,
    revDnatOnly: boolean,
    trace: TraceCtx,
    extErr: ExtendedError,
  ): number | undefined;
}

/** Programs that are compiled without services. */
export const NO_SERVICES: ServiceHooks = {
  perPacketLb: () => TC_ACT_OK,
  revNat: () => TC_ACT_OK,
  nodePortRevNat: () => TC_ACT_OK,
  nodePortLb: () => TC_ACT_OK,
  natFwd: () => undefined,
};
