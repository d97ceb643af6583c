import type { FrontendType } from "./frontend.ts";

/** Flags of a service's entries: `flags` in the low byte, `flags2` in the high one (bpf/lib/common.h SVC_FLAG_*). */
export const SVC_FLAG = {
  externalIp: 0x1,
  nodePort: 0x2,
  extLocalScope: 0x4,
  hostPort: 0x8,
  affinity: 0x10,
  loadBalancer: 0x20,
  routable: 0x40,
  sourceRange: 0x80,
  localRedirect: 0x100,
  nat46x64: 0x200,
  l7LoadBalancer: 0x400,
  loopback: 0x800,
  intLocalScope: 0x1000,
  twoScopes: 0x2000,
  /** Of a backend's slot. */
  quarantined: 0x4000,
  /** Of slot 0: the ranges are those that are refused. */
  sourceRangeDeny: 0x4000,
  fwdModeDsr: 0x8000,
} as const;

const TYPE_FLAGS: Readonly<Record<FrontendType, number>> = {
  ClusterIP: 0,
  NodePort: SVC_FLAG.nodePort,
  LoadBalancer: SVC_FLAG.loadBalancer,
  ExternalIPs: SVC_FLAG.externalIp,
  HostPort: SVC_FLAG.hostPort,
};

export interface ServiceFlagSettings {
  readonly type: FrontendType;
  readonly extLocal: boolean;
  readonly intLocal: boolean;
  readonly affinity: boolean;
  readonly routable: boolean;
  readonly sourceRange: boolean;
  readonly sourceRangeDeny: boolean;
  readonly loopback: boolean;
  readonly dsr: boolean;
}

export function serviceFlags(settings: ServiceFlagSettings): number {
  const { type, extLocal, intLocal } = settings;
  let flags = TYPE_FLAGS[type];
  if (extLocal) flags |= SVC_FLAG.extLocalScope;
  if (intLocal) flags |= SVC_FLAG.intLocalScope;
  if (extLocal !== intLocal && type !== "ClusterIP") flags |= SVC_FLAG.twoScopes;
  if (settings.affinity) flags |= SVC_FLAG.affinity;
  if (settings.routable) flags |= SVC_FLAG.routable;
  if (settings.sourceRange) flags |= SVC_FLAG.sourceRange;
  if (settings.sourceRangeDeny) flags |= SVC_FLAG.sourceRangeDeny;
  if (settings.loopback) flags |= SVC_FLAG.loopback;
  if (settings.dsr) flags |= SVC_FLAG.fwdModeDsr;
  return flags;
}

/** As `cilium-dbg bpf lb list` has them: `ClusterIP, non-routable`. */
export function serviceFlagsText(flags: number): string {
  const has = (flag: number) => (flags & flag) !== 0;
  const isHostPort = has(SVC_FLAG.hostPort) && !has(SVC_FLAG.nodePort | SVC_FLAG.loadBalancer);
  const words: string[] = [typeText(flags)];
  if (has(SVC_FLAG.extLocalScope)) words.push("Local");
  if (has(SVC_FLAG.intLocalScope)) words.push("InternalLocal");
  if (has(SVC_FLAG.twoScopes)) words.push("two-scopes");
  if (has(SVC_FLAG.affinity)) words.push("sessionAffinity");
  if (!has(SVC_FLAG.routable)) words.push("non-routable");
  if (has(SVC_FLAG.sourceRange)) words.push("check source-range");
  const deny = has(SVC_FLAG.sourceRange) && has(SVC_FLAG.sourceRangeDeny);
  if (deny) words.push("deny");
  if (has(SVC_FLAG.nat46x64)) words.push("46x64");
  if (has(SVC_FLAG.l7LoadBalancer)) words.push("l7-load-balancer");
  if (has(SVC_FLAG.loopback)) words.push(isHostPort ? "loopback" : "delegate-if-local");
  if (!deny && has(SVC_FLAG.quarantined)) words.push("quarantined");
  if (has(SVC_FLAG.fwdModeDsr)) words.push("dsr");
  return words.join(", ");
}

function typeText(flags: number): FrontendType | "LocalRedirect" {
  for (const type of ["ExternalIPs", "NodePort", "LoadBalancer", "HostPort"] as const) {
    if ((flags & TYPE_FLAGS[type]) !== 0) return type;
  }
  return (flags & SVC_FLAG.localRedirect) === 0 ? "ClusterIP" : "LocalRedirect";
}
