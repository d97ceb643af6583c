import { IPPROTO_TCP } from "@cnilab/net";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { LbService } from "../../maps/lb-maps.ts";
import type { LoadBalancerConfig } from "../../node-config.ts";
import { hasFlag } from "../lb/lookup-service.ts";

/** `ENABLE_DSR`: some services' backends may answer by themselves. */
export function isDsrEnabled({ mode, modeAnnotation }: LoadBalancerConfig): boolean {
  return mode !== "snat" || modeAnnotation;
}

/** `ENABLE_DSR_HYBRID`: others' answers come back through the node that was asked. */
export function isSnatEnabled({ mode, modeAnnotation }: LoadBalancerConfig): boolean {
  return mode !== "dsr" || modeAnnotation;
}

/** Whether a remote backend answers by itself (`nodeport_uses_dsr`). */
export function usesDsr(lb: LoadBalancerConfig, svc: LbService, protocol: number): boolean {
  if (lb.mode === "hybrid") return protocol === IPPROTO_TCP;
  if (lb.modeAnnotation) return hasFlag(svc, SVC_FLAG.fwdModeDsr);
  return lb.mode === "dsr";
}
