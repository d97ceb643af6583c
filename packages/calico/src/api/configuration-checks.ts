import {
  boolean,
  type Check,
  dnsSubdomain,
  fail,
  integer,
  labels,
  list,
  map,
  matching,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import {
  duration,
  enabledOrDisabled,
  networkOrAddress,
  orEmpty,
  regularExpression,
  selector,
  unique,
} from "./field-checks.ts";
import type { HostEndpointTemplate } from "./v3/kube-controllers-configuration.ts";

// api/pkg/apis/projectcalico/v3/clusterinfo.go, nodestatus.go, kubecontrollersconfig.go.

/** There is one of the kind. */
export const onlyDefault: Check = matching(/^default$/, 7, "default: there is one of this kind");

export const clusterInformationSpec: Check = strictObject({
  clusterGUID: string,
  clusterType: string,
  calicoVersion: string,
  datastoreReady: boolean,
  variant: string,
});

export const calicoNodeStatusSpec: Check = strictObject(
  {
    node: dnsSubdomain,
    classes: unique(list(oneOf("Agent", "BGP", "Routes"))),
    updatePeriodSeconds: integer(0, 86_400),
  },
  ["node", "classes", "updatePeriodSeconds"],
);

const templateFields = strictObject(
  {
    generateName: dnsSubdomain,
    interfaceCIDRs: unique(list(networkOrAddress)),
    interfacePattern: regularExpression,
    labels,
    annotations: map(() => undefined, string),
    nodeSelector: selector,
  },
  ["generateName"],
);

const template: Check = (value, path) => {
  templateFields(value, path);
  const { interfaceCIDRs, interfacePattern } = value as HostEndpointTemplate;
  if ((interfaceCIDRs ?? []).length > 0 || (interfacePattern ?? "") !== "") return;
  fail([...path, "interfacePattern"], "is required where there are no interfaceCIDRs");
};

const templates: Check = (value, path) => {
  list(template)(value, path);
  const names = new Set<string>();
  (value as readonly HostEndpointTemplate[]).forEach(({ generateName = "" }, i) => {
    if (names.has(generateName)) {
      fail([...path, i, "generateName"], `is "${generateName}" a second time`);
    }
    names.add(generateName);
  });
};

const reconciler = strictObject({ reconcilerPeriod: duration });

const controllers = strictObject({
  node: strictObject({
    reconcilerPeriod: duration,
    syncLabels: enabledOrDisabled,
    hostEndpoint: strictObject({
      autoCreate: enabledOrDisabled,
      createDefaultHostEndpoint: orEmpty(enabledOrDisabled),
      templates,
    }),
    leakGracePeriod: duration,
  }),
  policy: reconciler,
  workloadEndpoint: reconciler,
  serviceAccount: reconciler,
  namespace: reconciler,
  loadBalancer: strictObject({ assignIPs: oneOf("AllServices", "RequestedServicesOnly") }),
  migration: strictObject({ policyNameMigrator: enabledOrDisabled }),
});

export const kubeControllersConfigurationSpec: Check = strictObject(
  {
    logSeverityScreen: oneOf("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"),
    healthChecks: enabledOrDisabled,
    etcdV3CompactionPeriod: duration,
    prometheusMetricsPort: integer(0, 65_535),
    controllers,
    debugProfilePort: integer(0, 65_535),
  },
  ["controllers"],
);
