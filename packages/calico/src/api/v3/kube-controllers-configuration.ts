import type { KubeObject, Labels } from "@cnilab/core";

/** Whether a controller, or a part of it, runs. */
export type ControllerMode = "Enabled" | "Disabled";

/** Host endpoints that are made for every node. */
export interface AutoHostEndpointConfig {
  readonly autoCreate?: ControllerMode;
  readonly createDefaultHostEndpoint?: ControllerMode;
  readonly templates?: readonly HostEndpointTemplate[];
}

export interface HostEndpointTemplate {
  readonly generateName?: string;
  readonly interfaceCIDRs?: readonly string[];
  readonly interfacePattern?: string;
  readonly labels?: Labels;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly nodeSelector?: string;
}

export interface NodeControllerConfig {
  readonly reconcilerPeriod?: string;
  readonly syncLabels?: ControllerMode;
  readonly hostEndpoint?: AutoHostEndpointConfig;
  /** How long an address may be nobody's before it is taken back; `0s`: for ever. */
  readonly leakGracePeriod?: string;
}

export interface ReconcilerConfig {
  readonly reconcilerPeriod?: string;
}

/** A controller runs where its field is there. */
export interface ControllersConfig {
  readonly node?: NodeControllerConfig;
  readonly policy?: ReconcilerConfig;
  readonly workloadEndpoint?: ReconcilerConfig;
  readonly serviceAccount?: ReconcilerConfig;
  readonly namespace?: ReconcilerConfig;
  readonly loadBalancer?: { readonly assignIPs?: "AllServices" | "RequestedServicesOnly" };
  readonly migration?: { readonly policyNameMigrator?: ControllerMode };
}

export interface KubeControllersConfigurationSpec {
  readonly logSeverityScreen?: string;
  readonly healthChecks?: ControllerMode;
  readonly etcdV3CompactionPeriod?: string;
  readonly prometheusMetricsPort?: number;
  readonly controllers: ControllersConfig;
  readonly debugProfilePort?: number;
}

export interface KubeControllersConfiguration extends KubeObject {
  readonly kind: "KubeControllersConfiguration";
  readonly spec: KubeControllersConfigurationSpec;
  readonly status?: Readonly<Record<string, unknown>>;
}
