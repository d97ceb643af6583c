import {
  boolean,
  type Check,
  describe,
  fail,
  integer,
  list,
  map,
  matching,
  oneOf,
  port,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { familyOf, type IpFamily, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import { logSeverity, programClusterRoutes, routePriority } from "./bgp-checks.ts";
import {
  address,
  anyCase,
  duration,
  enabledOrDisabled,
  interfaceName,
  networkOrAddress,
  numericPort,
  orEmpty,
  regularExpression,
  selector,
} from "./field-checks.ts";
import type { FelixConfiguration, RouteTableRange } from "./v3/felix-configuration.ts";

// api/pkg/apis/projectcalico/v3/felixconfig.go, and validateFelixConfigSpec and its like of libcalico-go/lib/validator/v3.

const number = integer(Number.MIN_SAFE_INTEGER);
const mark = integer(0, 0xffffffff);

function addressOf(family: IpFamily): Check {
  return orEmpty((value, path) => {
    address(value, path);
    const its = tryParseIp(value as string);
    if (its !== undefined && familyOf(its) === family) return;
    fail(path, `must be an IPv${family} address, not ${describe(value)}`);
  });
}

/** Without a protocol it is TCP; Felix takes the names in any case. */
const protoPort = strictObject(
  { protocol: anyCase("TCP", "UDP", "SCTP"), port, net: orEmpty(networkOrAddress) },
  ["port"],
);

const externalNode: Check = (value, path) => {
  networkOrAddress(value, path);
  const text = value as string;
  const its = tryParseIp(text) ?? tryParseInterfaceAddress(text)?.address;
  if (its !== undefined && familyOf(its) === 6) fail(path, `must be IPv4, not ${describe(value)}`);
};

/** @param most the highest number of a table that Linux could have */
function tableRange(most: number): Check {
  const bound = integer(1, most);
  const fields = strictObject({ min: bound, max: bound }, ["min", "max"]);
  return (value, path) => {
    fields(value, path);
    const { min, max } = value as RouteTableRange;
    if (min > max) fail([...path, "max"], `must not be less than min ${min}, but is ${max}`);
  };
}

const MOST_TABLES = 0xffff;

const tableRanges: Check = (value, path) => {
  list(tableRange(0xffffffff))(value, path);
  const tables = (value as readonly RouteTableRange[]).reduce((n, r) => n + r.max - r.min + 1, 0);
  if (tables > MOST_TABLES) fail(path, `must have at most ${MOST_TABLES} tables, not ${tables}`);
};

/** A flag of several with the same check. */
function each(check: Check, ...names: readonly string[]): Readonly<Record<string, Check>> {
  return Object.fromEntries(names.map((name) => [name, check]));
}

const keyValues = matching(
  /^(?:[a-zA-Z0-9_-]+=[^=,]*,)*(?:[a-zA-Z0-9_-]+=[^=,]*)?$/,
  4096,
  "pairs such as SNATFullyRandom=false,MASQFullyRandom=true",
);

const action = anyCase("Accept", "Return");
const denyAction = anyCase("Drop", "Reject");
const conntrackTimeout = matching(
  /^(?:(?:[0-9]*(?:\.[0-9]*)?(?:ms|s|h|m|us)+)+|Auto)$/,
  64,
  "a duration such as 60s, or Auto",
);

/** What bears on the network of Linux nodes. */
const NETWORK_FIELDS: Readonly<Record<string, Check>> = {
  ...each(
    boolean,
    "allowIPIPPacketsFromWorkloads",
    "allowVXLANPacketsFromWorkloads",
    "disableConntrackInvalidCheck",
    "ipipEnabled",
    "ipv6Support",
    "removeExternalRoutes",
    "requireMTUFile",
    "routeSyncDisabled",
    "vxlanEnabled",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardHostEncryptionEnabled",
    "wireguardThreadingEnabled",
  ),
  ...each(
    duration,
    "interfaceRefreshInterval",
    "ipsetsRefreshInterval",
    "iptablesRefreshInterval",
    "liveMigrationRouteConvergenceTime",
    "localSubnetL2ReachabilityRefreshInterval",
    "nftablesRefreshInterval",
    "routeRefreshInterval",
    "wireguardKeepAlive",
  ),
  ...each(
    integer(0, 65_535),
    "ipipMTU",
    "vxlanMTU",
    "vxlanMTUV6",
    "wireguardMTU",
    "wireguardMTUV6",
  ),
  ...each(port, "vxlanPort", "wireguardListeningPort", "wireguardListeningPortV6"),
  ...each(mark, "iptablesMarkMask", "nftablesMarkMask"),
  ...each(
    routePriority,
    "ipv4ElevatedRoutePriority",
    "ipv4NormalRoutePriority",
    "ipv6ElevatedRoutePriority",
    "ipv6NormalRoutePriority",
  ),
  ...each(
    action,
    "iptablesFilterAllowAction",
    "iptablesMangleAllowAction",
    "nftablesFilterAllowAction",
    "nftablesMangleAllowAction",
  ),
  ...each(denyAction, "iptablesFilterDenyAction", "nftablesFilterDenyAction"),
  ...each(enabledOrDisabled, "floatingIPs", "ipForwarding"),
  ...each(interfaceName, "wireguardInterfaceName", "wireguardInterfaceNameV6"),
  chainInsertMode: anyCase("Insert", "Append"),
  defaultEndpointToHostAction: anyCase("Drop", "Accept", "Return"),
  deviceRouteProtocol: integer(0, 255),
  deviceRouteSourceAddress: addressOf(4),
  deviceRouteSourceAddressIPv6: addressOf(6),
  externalNodesList: list(externalNode),
  failsafeInboundHostPorts: list(protoPort),
  failsafeOutboundHostPorts: list(protoPort),
  featureDetectOverride: keyValues,
  interfaceExclude: string,
  interfacePrefix: string,
  iptablesBackend: anyCase("Auto", "Legacy", "NFT"),
  iptablesNATOutgoingInterfaceFilter: orEmpty(
    matching(/^[a-zA-Z0-9:._+-]{1,15}$/, 15, "the name of a device, where + stands for any end"),
  ),
  kubeNodePortRanges: list(numericPort, 0, 7),
  localSubnetL2Reachability: oneOf("Disabled", "PodsAndLoadBalancers"),
  logActionRateLimit: matching(
    /^[1-9][0-9]{0,3}\/(?:second|minute|hour|day)$/,
    32,
    "a rate such as 10/second",
  ),
  logActionRateLimitBurst: integer(0, 9999),
  logPrefix: matching(/^[a-zA-Z0-9%: /_-]*$/, 1024, "letters, digits, spaces and %:/_-"),
  maxIpsetSize: integer(0),
  mtuIfacePattern: regularExpression,
  natOutgoingAddress: addressOf(4),
  natOutgoingExclusions: oneOf("IPPoolsOnly", "IPPoolsAndHostIPs"),
  natPortRange: numericPort,
  nftablesFlowTableDataIfacePattern: regularExpression,
  nftablesFlowTableOffload: oneOf("All", "Disabled"),
  nftablesMode: oneOf("Disabled", "Enabled", "Auto"),
  nodeSelector: selector,
  programClusterRoutes,
  routeSource: anyCase("WorkloadIPs", "CalicoIPAM"),
  routeTableRange: tableRange(250),
  routeTableRanges: tableRanges,
  serviceLoopPrevention: anyCase("Drop", "Reject", "Disabled"),
  vxlanVNI: integer(0, 0xffffff),
  wireguardRoutingRulePriority: integer(1, 32_765),
  workloadSourceSpoofing: anyCase("Disabled", "Any"),
};

/** What Felix reads and this model does not: eBPF, logs, metrics, other platforms. */
const OTHER_FIELDS: Readonly<Record<string, Check>> = {
  ...each(
    boolean,
    "bpfConnectTimeLoadBalancingEnabled",
    "bpfDisableUnprivileged",
    "bpfEnabled",
    "bpfHostConntrackBypass",
    "bpfIPFragmentReassemblyEnabled",
    "bpfKubeProxyIptablesCleanupEnabled",
    "bpfPolicyDebugEnabled",
    "debugDisableLogDropping",
    "endpointReportingEnabled",
    "flowLogsCollectorDebugTrace",
    "genericXDPEnabled",
    "healthEnabled",
    "prometheusGoMetricsEnabled",
    "prometheusMetricsEnabled",
    "prometheusProcessMetricsEnabled",
    "prometheusWireGuardMetricsEnabled",
    "sidecarAccelerationEnabled",
    "usageReportingEnabled",
    "useInternalDataplaneDriver",
    "xdpEnabled",
  ),
  ...each(
    string,
    "bpfCTLBLogFilter",
    "cgroupV2Path",
    "dataplaneDriver",
    "debugHost",
    "debugMemoryProfilePath",
    "endpointStatusPathPrefix",
    "featureGates",
    "flowLogsGoldmaneServer",
    "healthHost",
    "logFilePath",
    "metadataAddr",
    "openstackRegion",
    "policySyncPathPrefix",
    "prometheusMetricsCAFile",
    "prometheusMetricsCertFile",
    "prometheusMetricsHost",
    "prometheusMetricsKeyFile",
  ),
  ...each(
    regularExpression,
    "bpfDataIfacePattern",
    "bpfDisableGROForIfaces",
    "bpfL3IfacePattern",
    "logDebugFilenameRegex",
  ),
  ...each(
    number,
    "bpfExportBufferSizeMB",
    "bpfExtToServiceConnmark",
    "bpfKubeProxyHealthzPort",
    "bpfMaglevMaxEndpointsPerService",
    "bpfMaglevMaxServices",
    "bpfMapSizeConntrack",
    "bpfMapSizeConntrackCleanupQueue",
    "bpfMapSizeIPSets",
    "bpfMapSizeIfState",
    "bpfMapSizeNATAffinity",
    "bpfMapSizeNATBackend",
    "bpfMapSizeNATFrontend",
    "bpfMapSizePerCpuConntrack",
    "bpfMapSizeRoute",
    "debugPort",
    "goGCThreshold",
    "goMaxProcs",
    "goMemoryLimitMB",
    "healthPort",
    "metadataPort",
    "prometheusMetricsPort",
  ),
  ...each(
    duration,
    "bpfIPFragTimeout",
    "bpfKubeProxyMinSyncPeriod",
    "dataplaneWatchdogTimeout",
    "debugSimulateCalcGraphHangAfter",
    "debugSimulateDataplaneApplyDelay",
    "debugSimulateDataplaneHangAfter",
    "endpointReportingDelay",
    "flowLogsFlushInterval",
    "iptablesLockProbeInterval",
    "iptablesPostWriteCheckInterval",
    "netlinkTimeout",
    "reportingInterval",
    "reportingTTL",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "xdpRefreshInterval",
  ),
  ...each(
    enabledOrDisabled,
    "bpfHostNetworkedNATWithoutCTLB",
    "bpfProfiling",
    "bpfRedirectToPeer",
    "flowLogsLocalReporter",
    "istioAmbientMode",
    "windowsManageFirewallRules",
  ),
  ...each(list(networkOrAddress), "bpfDSROptoutCIDRs", "bpfExcludeCIDRsFromNAT"),
  ...each(logSeverity, "logSeverityFile", "logSeverityScreen", "logSeveritySys"),
  awsSrcDstCheck: oneOf("DoNothing", "Enable", "Disable"),
  bpfAttachType: oneOf("TC", "TCX", "Netkit"),
  bpfConnectTimeLoadBalancing: oneOf("TCP", "Enabled", "Disabled"),
  bpfConntrackLogLevel: oneOf("Off", "Debug"),
  bpfConntrackMode: oneOf("Auto", "Userspace", "BPFProgram"),
  bpfConntrackTimeouts: strictObject(
    each(
      conntrackTimeout,
      "creationGracePeriod",
      "genericTimeout",
      "icmpTimeout",
      "tcpEstablished",
      "tcpFinsSeen",
      "tcpResetSeen",
      "tcpSynSent",
      "udpTimeout",
    ),
  ),
  bpfEnforceRPF: anyCase("Disabled", "Strict", "Loose"),
  bpfExternalServiceMode: anyCase("Tunnel", "DSR"),
  bpfForceTrackPacketsFromIfaces: list(string),
  bpfJITHardening: oneOf("Auto", "Strict"),
  bpfLogFilters: map(() => undefined, string),
  bpfLogLevel: anyCase("Off", "Info", "Debug"),
  bpfMapSizeConntrackScaling: anyCase("Disabled", "DoubleIfFull"),
  bpfOverlayHostSourceIP: oneOf("TunnelAddress", "HostAddress"),
  bpfPSNATPorts: numericPort,
  flowLogsPolicyEvaluationMode: oneOf("None", "Continuous"),
  healthTimeoutOverrides: list(
    strictObject({ name: string, timeout: duration }, ["name", "timeout"]),
  ),
  istioDSCPMark: (value, path) => {
    if (typeof value !== "string") integer(0, 63)(value, path);
  },
  prometheusMetricsClientAuth: oneOf(
    "RequireAndVerifyClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "NoClientCert",
  ),
};

const fields = strictObject({ ...NETWORK_FIELDS, ...OTHER_FIELDS });

export const felixConfigurationSpec: Check = (value, path) => {
  fields(value, path);
  const { routeTableRange, routeTableRanges } = value as FelixConfiguration["spec"];
  if (routeTableRange !== undefined && routeTableRanges !== undefined) {
    fail([...path, "routeTableRange"], "cannot stand beside routeTableRanges, which replaces it");
  }
};

/** Every field of `spec`, for tests. */
export const FELIX_FIELDS: readonly string[] = Object.keys({ ...NETWORK_FIELDS, ...OTHER_FIELDS });
