import type { DependencyContainer, InjectionToken } from "tsyringe";
import type { IngressClass } from "./api/ingress.ts";
import type { ClusterContext } from "./cluster-context.ts";
import type { AddOn } from "./engines/add-on.ts";
import type { BridgeEngine } from "./engines/bridge.ts";
import type { ContainerProgram } from "./engines/container-program.ts";
import type { ClusterController } from "./engines/controller.ts";
import type { IpamEngine } from "./engines/ipam.ts";
import type { LoadBalancerEngine } from "./engines/load-balancer.ts";
import type { NameLookup } from "./engines/name-lookup.ts";
import type { OverlayEngine } from "./engines/overlay.ts";
import type { PolicyEngine } from "./engines/policy.ts";
import type { ProxyEngine } from "./engines/proxy.ts";
import type { NodeContext } from "./node-context.ts";

export type { DependencyContainer, InjectionToken };

// `Symbol.for`, so that two copies of this package in one tree still agree.

/** The node whose container this is; each node has a child container with a value of its own. */
export const NODE: InjectionToken<NodeContext> = Symbol.for("@cnilab/core/node");

/** The five engines of a node. A CNI model registers a factory for each that it brings. */
export const IPAM: InjectionToken<IpamEngine> = Symbol.for("@cnilab/core/ipam");
export const BRIDGE: InjectionToken<BridgeEngine> = Symbol.for("@cnilab/core/bridge");
export const OVERLAY: InjectionToken<OverlayEngine> = Symbol.for("@cnilab/core/overlay");
export const PROXY: InjectionToken<ProxyEngine> = Symbol.for("@cnilab/core/proxy");
export const POLICY: InjectionToken<PolicyEngine> = Symbol.for("@cnilab/core/policy");

/** What engines of the whole cluster are given. */
export const CLUSTER: InjectionToken<ClusterContext> = Symbol.for("@cnilab/core/cluster");

/** The cluster's provider of load balancers. */
export const LOAD_BALANCER: InjectionToken<LoadBalancerEngine> = Symbol.for(
  "@cnilab/core/load-balancer",
);

/** Programs that work for the whole cluster; register as many as there are. */
export const CONTROLLERS: InjectionToken<ClusterController> = Symbol.for(
  "@cnilab/core/controllers",
);

/** Programs that containers run; register as many as there are. */
export const CONTAINER_PROGRAMS: InjectionToken<ContainerProgram> = Symbol.for(
  "@cnilab/core/container-programs",
);

/** How programs in containers look up names, where somebody brings a resolver. */
export const NAME_LOOKUP: InjectionToken<NameLookup> = Symbol.for("@cnilab/core/name-lookup");

/**
 * The class of a controller that the cluster brings along: Ingresses that name none get it where the input has no classes at all, as
 * if it had been there before them.
 */
export const DEFAULT_INGRESS_CLASS: InjectionToken<IngressClass> = Symbol.for(
  "@cnilab/core/default-ingress-class",
);

/** What the cluster brings along beside the input; register as many as there are. */
export const ADD_ONS: InjectionToken<AddOn> = Symbol.for("@cnilab/core/add-ons");
