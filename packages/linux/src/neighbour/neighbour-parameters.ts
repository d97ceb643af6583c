/**
 * `net.ipv4.neigh.DEV.*` and `net.ipv6.neigh.DEV.*`: times in virtual milliseconds, defaults of
 * net/ipv4/arp.c and net/ipv6/ndisc.c. Immutable; a device may have its own.
 */
export interface NeighbourParameters {
  /** The kernel draws the time from half to one and a half of this; here it is this. */
  readonly baseReachableTime: number;
  readonly delayFirstProbeTime: number;
  readonly retransTime: number;
  readonly unicastSolicit: number;
  readonly multicastSolicit: number;
  /** Answers for others wait up to this long. */
  readonly proxyDelay: number;
  readonly lockTime: number;
  /** Packets that may wait for one answer. */
  readonly unresolvedQueueLength: number;
  /** What is written and read, and nothing here looks at; by its sysctl's name. */
  readonly inert: Readonly<Record<string, number>>;
}

export const NEIGHBOUR_PARAMETERS: NeighbourParameters = {
  baseReachableTime: 30_000,
  delayFirstProbeTime: 5_000,
  retransTime: 1_000,
  unicastSolicit: 3,
  multicastSolicit: 3,
  proxyDelay: 800,
  lockTime: 1_000,
  unresolvedQueueLength: 101,
  inert: {
    anycast_delay: 100,
    app_solicit: 0,
    gc_stale_time: 60,
    interval_probe_time_ms: 5000,
    mcast_resolicit: 0,
    proxy_qlen: 64,
    unres_qlen_bytes: 212_992,
  },
};

/** Neighbour discovery takes the last answer that is right, however soon it comes. */
export const NEIGHBOUR_PARAMETERS6: NeighbourParameters = { ...NEIGHBOUR_PARAMETERS, lockTime: 0 };

type NumberField = Exclude<keyof NeighbourParameters, "inert">;

/** Hundredths of a second (USER_HZ), and the ticks of a kernel with CONFIG_HZ=250. */
const USER_HZ_MS = 10;
const HZ_MS = 4;

/** Where each sysctl is kept, and how many of the field's units its own unit is (net/core/neighbour.c neigh_sysctl_table). */
const FIELDS: Readonly<Record<string, readonly [NumberField, number]>> = {
  base_reachable_time: ["baseReachableTime", 1000],
  base_reachable_time_ms: ["baseReachableTime", 1],
  delay_first_probe_time: ["delayFirstProbeTime", 1000],
  locktime: ["lockTime", USER_HZ_MS],
  mcast_solicit: ["multicastSolicit", 1],
  proxy_delay: ["proxyDelay", USER_HZ_MS],
  retrans_time: ["retransTime", USER_HZ_MS],
  retrans_time_ms: ["retransTime", 1],
  ucast_solicit: ["unicastSolicit", 1],
  unres_qlen: ["unresolvedQueueLength", 1],
};

/** The sysctls of one device. */
export const NEIGHBOUR_SYSCTLS: readonly string[] = [
  ...Object.keys(FIELDS),
  ...Object.keys(NEIGHBOUR_PARAMETERS.inert),
].sort();

/** IPv6 tells the old name of `retrans_time_ms` in ticks (ndisc_ifinfo_sysctl_change). */
function unitOf(name: string, family: 4 | 6): number {
  return name === "retrans_time" && family === 6 ? HZ_MS : (FIELDS[name]?.[1] ?? 1);
}

/** A parameter as its sysctl tells it; `undefined` where there is none of the name. */
export function neighbourSysctl(
  parameters: NeighbourParameters,
  name: string,
  family: 4 | 6,
): number | undefined {
  const field = FIELDS[name]?.[0];
  if (field === undefined) return parameters.inert[name];
  return Math.floor(parameters[field] / unitOf(name, family));
}

/** The parameters with one other value, of which there is a sysctl. */
export function withNeighbourSysctl(
  parameters: NeighbourParameters,
  name: string,
  value: number,
  family: 4 | 6,
): NeighbourParameters {
  const field = FIELDS[name]?.[0];
  return field === undefined
    ? { ...parameters, inert: { ...parameters.inert, [name]: value } }
    : { ...parameters, [field]: value * unitOf(name, family) };
}
