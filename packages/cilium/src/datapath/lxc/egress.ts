import { BPF_F_INGRESS, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { authLookup } from "../lib/auth.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import {
  CT_EGRESS,
  CT_ESTABLISHED,
  CT_NEW,
  CT_RELATED,
  CT_REPLY,
  ctCreate,
  ctLookup,
  SCOPE_BIDIR,
  SCOPE_FORWARD,
  tupleOf,
} from "../lib/conntrack.ts";
import { CtBuffer } from "../lib/ct-state.ts";
import type { ExtendedError } from "../lib/drop.ts";
import { sendDropNotify } from "../lib/drop.ts";
import {
  DROP_HOST_NOT_READY,
  DROP_NO_FIB,
  DROP_POLICY_AUTH_REQUIRED,
  isError,
} from "../lib/drop-reason.ts";
import { encapAndRedirect } from "../lib/encap.ts";
import { lookupEndpoint, lookupRemoteEndpoint } from "../lib/eps.ts";
import { BPF_FIB_LKUP_RET_NOT_FWDED, fibRedirect } from "../lib/fib.ts";
import { isRemoteNode, worldOf } from "../lib/identity.ts";
import { forwardL3 } from "../lib/l3.ts";
import { localDelivery } from "../lib/local-delivery.ts";
import { MARK_MAGIC_IDENTITY, setIdentityMark } from "../lib/mark.ts";
import { CB_FROM_HOST, CB_SRC_LABEL, FROM_HOST_L7_LB } from "../lib/meta.ts";
import { policyCanEgress } from "../lib/policy.ts";
import { sendPolicyVerdictNotify } from "../lib/policy-log.ts";
import { redirectToProxy } from "../lib/proxy.ts";
import type { ServiceTranslation } from "../lib/service-hooks.ts";
import {
  sendTraceNotify,
  TRACE_PAYLOAD_LEN,
  TRACE_TO_HOST,
  TRACE_TO_NETWORK,
  TRACE_TO_PROXY,
  TRACE_TO_STACK,
} from "../lib/trace.ts";
import { ENDPOINT_MASK_HOST_DELIVERY } from "../maps/endpoint-map.ts";
import type { RemoteEndpointInfo } from "../maps/ipcache-map.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";

/** Looks up the connection of what leaves a container, and goes on (`tail_ipv4_ct_egress`, `tail_ipv6_ct_egress`). */
export function ctEgress(
  ctx: TcContext,
  obj: BpfObject,
  { state: translated, proxyPort }: ServiceTranslation,
): number {
  const { ip } = ctx;
  const { maps, config, securityLabel } = obj;
  const ct = new CtBuffer(tupleOf(ip));
  const { tuple } = ct;
  // What was translated is no answer.
  const isForward =
    translated.revNatIndex !== 0 || (config.lb.l7 && (proxyPort !== 0 || isFromL7Lb(ctx, obj)));
  const scope = isForward ? SCOPE_FORWARD : SCOPE_BIDIR;
  const map = maps.ct(ip.dst, ip.protocol);
  ct.ret = ctLookup(ctx, obj, map, tuple, ip, CT_EGRESS, scope, ct.state, ct.trace);
  if (ct.ret < 0) {
    const direction = METRIC_EGRESS;
    return sendDropNotify(ctx, obj, { src: securityLabel, reason: ct.ret, direction });
  }
  const extErr = { value: 0 };
  const info = lookupRemoteEndpoint(ctx, obj, ip.dst);
  const dst = info?.identity ?? worldOf(ip.dst, obj);
  const ret = new EgressHandler(ctx, obj, ct, translated, proxyPort, info, dst, extErr).handle();
  if (!isError(ret)) return ret;
  const direction = METRIC_EGRESS;
  return sendDropNotify(ctx, obj, { src: securityLabel, dst, reason: ret, extErr, direction });
}

function isFromL7Lb(ctx: TcContext, { config }: BpfObject): boolean {
  return config.lb.l7 && ctx.cb[CB_FROM_HOST] === FROM_HOST_L7_LB;
}

/** What becomes of a container's packet once it is translated (`handle_ipv4_from_lxc`, `handle_ipv6_from_lxc`). */
class EgressHandler {
  readonly #ctx: TcContext;
  readonly #obj: BpfObject;
  readonly #ct: CtBuffer;
  readonly #new: ServiceTranslation["state"];
  readonly #info: RemoteEndpointInfo | undefined;
  readonly #dst: NumericIdentity;
  readonly #extErr: ExtendedError;
  #proxyPort: number;
  #fromL7Lb = false;

  constructor(
    ctx: TcContext,
    obj: BpfObject,
    ct: CtBuffer,
    translated: ServiceTranslation["state"],
    proxyPort: number,
    info: RemoteEndpointInfo | undefined,
    dst: NumericIdentity,
    extErr: ExtendedError,
  ) {
    this.#ctx = ctx;
    this.#obj = obj;
    this.#ct = ct;
    this.#new = translated;
    this.#proxyPort = proxyPort;
    this.#info = info;
    this.#dst = dst;
    this.#extErr = extErr;
    ct.trace.reason = ct.ret;
  }

  handle(): number {
    const ctx = this.#ctx;
    const ct = this.#ct;
    const { config } = this.#obj;
    const isAnswer = ct.ret === CT_REPLY || ct.ret === CT_RELATED;
    if (isAnswer) {
      // An answer to a proxy that stands before this endpoint: a socket of the node takes it.
      if (ct.state.proxyRedirect) {
        this.#trace(TRACE_TO_PROXY, 0, 0);
        return redirectToProxy(ctx, 0);
      }
      if (config.lb.nodePort && ct.state.nodePort && isServiceProtocol(this.#obj, ct)) {
        this.#trace(TRACE_TO_NETWORK, this.#dst, 0);
        return this.#obj.services.nodePortRevNat(ctx, this.#obj, this.#extErr);
      }
    } else {
      const verdict = this.#applyPolicy();
      if (verdict !== TC_ACT_OK) return verdict;
      const ret = this.#track();
      if (isError(ret)) return ret;
    }
    if (!this.#fromL7Lb && this.#proxyPort > 0) {
      this.#trace(TRACE_TO_PROXY, 0, this.#proxyPort);
      return redirectToProxy(ctx, this.#proxyPort);
    }
    return this.#forward();
  }

  #trace(point: number, dst: NumericIdentity, dstId: number, ifindex = 0): void {
    const { reason, monitor } = this.#ct.trace;
    const src = this.#obj.securityLabel;
    sendTraceNotify(this.#ctx, this.#obj, point, { src, dst, dstId, ifindex, reason, monitor });
  }

  /** `TC_ACT_OK`, or a reason to drop it. */
  #applyPolicy(): number {
    const ctx = this.#ctx;
    const obj = this.#obj;
    this.#fromL7Lb = isFromL7Lb(ctx, obj);
    // Who balances for the service is asked first.
    if (obj.config.lb.l7 && this.#proxyPort > 0) return TC_ACT_OK;
    // An endpoint may talk to itself through a service.
    if (this.#isIpv4 && this.#new.loopback) return TC_ACT_OK;
    const { tuple, ret } = this.#ct;
    const local = obj.securityLabel;
    const check = policyCanEgress(ctx, obj, ctx.ip, tuple, local, this.#dst);
    this.#extErr.value = check.value;
    if (check.verdict === DROP_POLICY_AUTH_REQUIRED) {
      check.authType = check.value;
      const remote = this.#info?.tunnelEndpoint;
      check.verdict = authLookup(ctx, obj, local, this.#dst, remote, check.authType);
    }
    this.#proxyPort = check.proxyPort;
    if (check.verdict !== TC_ACT_OK || ret !== CT_ESTABLISHED) {
      sendPolicyVerdictNotify(ctx, obj, this.#dst, false, check);
    }
    return check.verdict;
  }

  get #isIpv4(): boolean {
    return this.#ctx.ip.version === 4;
  }

  /** Remembers a new connection, and one that is not what it was. */
  #track(): number {
    const { state, tuple, ret, trace } = this.#ct;
    const created = this.#new;
    const obj = this.#obj;
    created.proxyRedirect = this.#proxyPort > 0;
    const isStale =
      state.revNatIndex !== created.revNatIndex || state.proxyRedirect !== created.proxyRedirect;
    if (ret !== CT_NEW && !isStale) return TC_ACT_OK;
    created.srcSecId = obj.securityLabel;
    created.fromL7lb = this.#fromL7Lb;
    if (!this.#isIpv4) trace.monitor = TRACE_PAYLOAD_LEN;
    const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
    const related = obj.maps.ct(tuple.daddr, 0);
    return ctCreate(this.#ctx, obj, map, related, tuple, CT_EGRESS, created);
  }

  #forward(): number {
    const ctx = this.#ctx;
    const obj = this.#obj;
    const { config, maps, routing } = obj;
    const { ip } = ctx;
    const { state, ret } = this.#ct;
    const dst = this.#dst;
    // With endpoint routes the host's policy for what comes to it is looked at here.
    if (config.hostFirewall && !routing && dst === RESERVED_IDENTITY.host) {
      ctx.cb[CB_SRC_LABEL] = obj.securityLabel;
      ctx.cb[CB_FROM_HOST] = 0;
      return ctx.tailCall(maps.callPolicy, config.hostEndpointId) ?? DROP_HOST_NOT_READY;
    }
    if (config.identityMark) setIdentityMark(ctx, obj.securityLabel, MARK_MAGIC_IDENTITY);
    const isHairpin = this.#isIpv4 && (this.#new.loopback || state.loopback);
    if (routing || isHairpin || config.hostRouting) {
      // What an endpoint answers itself is addressed to the loopback address: its own is the source.
      const address = isHairpin && ret === CT_REPLY ? ip.src : ip.dst;
      const endpoint = lookupEndpoint(ctx, obj, address);
      if (endpoint !== undefined) {
        const isHost = (endpoint.flags & ENDPOINT_MASK_HOST_DELIVERY) !== 0;
        if (isHost && routing) return this.#toHost();
        if (isHost && config.hostRouting) return this.#passToStack();
        return localDelivery(ctx, obj, endpoint, {
          identity: obj.securityLabel,
          direction: METRIC_EGRESS,
          magic: MARK_MAGIC_IDENTITY,
          fromHost: this.#fromL7Lb,
          fromTunnel: false,
        });
      }
    }
    const info = this.#info;
    if (config.tunnelMode && (state.fromTunnel || !(info?.skipTunnel ?? false))) {
      // kube-proxy has to translate back what it has translated for another node.
      const isAnswer = ret === CT_REPLY || ret === CT_RELATED;
      if (!config.lb.nodePort && config.hostFirewall && isAnswer && isRemoteNode(dst)) {
        return this.#stack();
      }
      if (info?.tunnelEndpoint !== undefined) {
        const { tunnelEndpoint } = info;
        const label = obj.securityLabel;
        return encapAndRedirect(ctx, obj, tunnelEndpoint, label, dst, this.#ct.trace);
      }
    }
    if (!config.hostRouting) return this.#passToStack();
    const { ret: redirected, oif } = fibRedirect(ctx, obj, false, this.#extErr);
    if (redirected === DROP_NO_FIB && this.#extErr.value === BPF_FIB_LKUP_RET_NOT_FWDED) {
      return this.#passToStack();
    }
    if (!isError(redirected)) this.#trace(TRACE_TO_NETWORK, dst, 0, oif);
    return redirected;
  }

  #toHost(): number {
    const { config } = this.#obj;
    if (config.hostFirewall && this.#dst === RESERVED_IDENTITY.host) {
      this.#trace(TRACE_TO_HOST, RESERVED_IDENTITY.host, 0, config.ciliumNetIfindex);
      return this.#ctx.redirect(config.ciliumNetIfindex, BPF_F_INGRESS);
    }
    return this.#passToStack();
  }

  #passToStack(): number {
    const ctx = this.#ctx;
    const { routing, interfaceMac, config } = this.#obj;
    if (routing) {
      const ret = forwardL3(ctx, this.#obj, undefined, interfaceMac);
      if (ret !== TC_ACT_OK) return ret;
    } else if (this.#fromL7Lb && ctx.ifindex !== config.ciliumHostIfindex) {
      // This is the way into the backend: it has yet to be asked about its policy.
      return ctx.redirect(ctx.ifindex);
    }
    return this.#stack();
  }

  #stack(): number {
    this.#trace(TRACE_TO_STACK, this.#dst, 0);
    return TC_ACT_OK;
  }
}

/** `lb_is_svc_proto` */
function isServiceProtocol({ config }: BpfObject, { tuple }: CtBuffer): boolean {
  const { nexthdr } = tuple;
  return (
    nexthdr === IPPROTO_TCP || nexthdr === IPPROTO_UDP || (nexthdr === IPPROTO_SCTP && config.sctp)
  );
}
