import { InputError } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";

/** What flanneld's command line decides (main.go). */
export interface FlanneldOptions {
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandomDisable: boolean;
  /** Names or addresses of interfaces, the first that fits wins; then patterns; then a route. None: the default route's. */
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: IpAddress | undefined;
  /** Where other nodes reach this one, when that is not the interface's address. */
  readonly publicIp: IpAddress | undefined;
  readonly publicIpv6: IpAddress | undefined;
  readonly iptablesResyncSeconds: number;
  readonly iptablesForwardRules: boolean;
  readonly ipBlackholeRoute: boolean;
  readonly subnetFile: string;
  readonly kubeSubnetMgr: boolean;
  readonly kubeAnnotationPrefix: string;
  readonly setNodeNetworkUnavailable: boolean;
  readonly subnetLeaseRenewMarginMinutes: number;
}

export const DEFAULT_OPTIONS: FlanneldOptions = {
  ipMasq: false,
  ipMasqFullyRandomDisable: false,
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  iptablesResyncSeconds: 5,
  iptablesForwardRules: true,
  ipBlackholeRoute: false,
  subnetFile: "/run/flannel/subnet.env",
  kubeSubnetMgr: false,
  kubeAnnotationPrefix: "flannel.alpha.coreos.com",
  setNodeNetworkUnavailable: true,
  subnetLeaseRenewMarginMinutes: 60,
};

type Draft = { -readonly [K in keyof FlanneldOptions]: FlanneldOptions[K] };

/** Flags without a value, and what they set. */
const BOOLEANS: Readonly<Record<string, ((o: Draft, value: boolean) => void) | undefined>> = {
  "ip-masq": (o, v) => (o.ipMasq = v),
  "ip-masq-fully-random-disable": (o, v) => (o.ipMasqFullyRandomDisable = v),
  "iptables-forward-rules": (o, v) => (o.iptablesForwardRules = v),
  "ip-blackhole-route": (o, v) => (o.ipBlackholeRoute = v),
  "kube-subnet-mgr": (o, v) => (o.kubeSubnetMgr = v),
  "set-node-network-unavailable": (o, v) => (o.setNodeNetworkUnavailable = v),
};

const VALUES: Readonly<Record<string, ((o: Draft, value: string) => void) | undefined>> = {
  iface: (o, v) => (o.iface = [...o.iface, v]),
  "iface-regex": (o, v) => (o.ifaceRegex = [...o.ifaceRegex, pattern(v)]),
  "iface-can-reach": (o, v) => (o.ifaceCanReach = address("iface-can-reach", v)),
  "public-ip": (o, v) => (o.publicIp = address("public-ip", v)),
  "public-ipv6": (o, v) => (o.publicIpv6 = address("public-ipv6", v)),
  "iptables-resync": (o, v) => (o.iptablesResyncSeconds = integer("iptables-resync", v, 1, 86400)),
  "subnet-file": (o, v) => (o.subnetFile = v),
  "kube-annotation-prefix": (o, v) => (o.kubeAnnotationPrefix = v),
  "subnet-lease-renew-margin": (o, v) =>
    (o.subnetLeaseRenewMarginMinutes = integer("subnet-lease-renew-margin", v, 1, 24 * 60 - 1)),
};

/** Flags that change nothing here: where etcd and the API server are, health checks, logging. */
const IGNORED = new Set([
  "etcd-endpoints",
  "etcd-prefix",
  "etcd-keyfile",
  "etcd-certfile",
  "etcd-cafile",
  "etcd-username",
  "etcd-password",
  "kube-api-url",
  "kubeconfig-file",
  "net-config-path",
  "healthz-ip",
  "healthz-port",
  "v",
  "vmodule",
  "log_backtrace_at",
]);

/**
 * Reads flanneld's arguments as Go's flag package does: one dash or two, a value behind `=` or in the
 * next argument.
 * @throws InputError
 */
export function parseFlanneldArgs(
  args: readonly string[],
  defaults: FlanneldOptions = DEFAULT_OPTIONS,
): FlanneldOptions {
  const options: Draft = { ...defaults };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) throw new InputError(`"${arg}" is not a flag of flanneld`);
    const name = match[1] as string;
    const inline = match[2];
    const setBoolean = Object.hasOwn(BOOLEANS, name) ? BOOLEANS[name] : undefined;
    if (setBoolean !== undefined) {
      setBoolean(options, boolean(name, inline ?? "true"));
      continue;
    }
    const setValue = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
    if (setValue === undefined && !IGNORED.has(name)) {
      throw new InputError(`flanneld has no flag --${name}`);
    }
    const value = inline ?? args[++i];
    if (value === undefined) throw new InputError(`flanneld's flag --${name} needs a value`);
    setValue?.(options, value);
  }
  return options;
}

function boolean(name: string, text: string): boolean {
  // strconv.ParseBool
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new InputError(`flanneld's flag --${name} must be true or false, not "${text}"`);
}

function integer(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InputError(`flanneld's flag --${name} must be ${least} to ${most}, not "${text}"`);
}

function address(name: string, text: string): IpAddress {
  const value = tryParseIp(text);
  if (value === undefined) {
    throw new InputError(`flanneld's flag --${name} must be an address, not "${text}"`);
  }
  return value;
}

function pattern(text: string): string {
  try {
    new RegExp(text);
  } catch (cause) {
    throw new InputError(`flanneld's flag --iface-regex: ${(cause as Error).message}`, "", {
      cause,
    });
  }
  return text;
}
