import type { QosControls } from "../calc/messages.ts";
import { tryParseQuantity } from "./quantity.ts";

type Limit = keyof QosControls;
type Annotations = Readonly<Record<string, string>>;

const MAX_UINT32 = 4294967295;
const DEFAULT_BURST = 4 * 2 ** 30;
const DEFAULT_PACKET_BURST = 5;
const BANDWIDTH = [1000, 1e15] as const;
const BURST = [1000, MAX_UINT32 * 8] as const;
const PEAKRATE = [1010, 1.01e15] as const;
const MINBURST = [1000, 1e8] as const;
const PACKETS = [1, 10_000] as const;
const CONNECTIONS = [1, MAX_UINT32] as const;

/** What annotations may say, in the order in which later ones win (`workload_endpoint_default.go` handleQoSControlsAnnotations). */
const ANNOTATIONS: readonly (readonly [
  annotation: string,
  limit: Limit,
  range: readonly [min: number, max: number],
])[] = [
  ["kubernetes.io/ingress-bandwidth", "ingressBandwidth", BANDWIDTH],
  ["kubernetes.io/egress-bandwidth", "egressBandwidth", BANDWIDTH],
  ["qos.projectcalico.org/ingressBandwidth", "ingressBandwidth", BANDWIDTH],
  ["qos.projectcalico.org/egressBandwidth", "egressBandwidth", BANDWIDTH],
  ["qos.projectcalico.org/ingressBurst", "ingressBurst", BURST],
  ["qos.projectcalico.org/egressBurst", "egressBurst", BURST],
  ["qos.projectcalico.org/ingressPeakrate", "ingressPeakrate", PEAKRATE],
  ["qos.projectcalico.org/egressPeakrate", "egressPeakrate", PEAKRATE],
  ["qos.projectcalico.org/ingressMinburst", "ingressMinburst", MINBURST],
  ["qos.projectcalico.org/egressMinburst", "egressMinburst", MINBURST],
  ["qos.projectcalico.org/ingressPacketRate", "ingressPacketRate", PACKETS],
  ["qos.projectcalico.org/egressPacketRate", "egressPacketRate", PACKETS],
  ["qos.projectcalico.org/ingressPacketBurst", "ingressPacketBurst", PACKETS],
  ["qos.projectcalico.org/egressPacketBurst", "egressPacketBurst", PACKETS],
  ["qos.projectcalico.org/ingressMaxConnections", "ingressMaxConnections", CONNECTIONS],
  ["qos.projectcalico.org/egressMaxConnections", "egressMaxConnections", CONNECTIONS],
];
/** A limit, and the one without which it is nothing. */
const NEEDS: readonly (readonly [Limit, Limit])[] = [
  ["ingressBurst", "ingressBandwidth"],
  ["egressBurst", "egressBandwidth"],
  ["ingressMinburst", "ingressPeakrate"],
  ["egressMinburst", "egressPeakrate"],
  ["ingressPacketBurst", "ingressPacketRate"],
  ["egressPacketBurst", "egressPacketRate"],
];
/** A limit that has a burst, whether it is given or not. */
const BURSTS: readonly (readonly [limit: Limit, burst: Limit, value: number])[] = [
  ["ingressBandwidth", "ingressBurst", DEFAULT_BURST],
  ["egressBandwidth", "egressBurst", DEFAULT_BURST],
  ["ingressPacketRate", "ingressPacketBurst", DEFAULT_PACKET_BURST],
  ["egressPacketRate", "egressPacketBurst", DEFAULT_PACKET_BURST],
];

const DSCP_ANNOTATION = "qos.projectcalico.org/dscp";
const DSCP_NUMBER = /^\d+$/;
const MAX_DSCP = 63;
/** `api/pkg/lib/numorstring/dscp.go`. */
const DSCP_NAMES: Readonly<Record<string, number>> = {
  ...{ DF: 0, EF: 46, CS0: 0, CS1: 8, CS2: 16, CS3: 24, CS4: 32, CS5: 40, CS6: 48 },
  ...{
    AF11: 10,
    AF12: 12,
    AF13: 14,
    AF21: 18,
    AF22: 20,
    AF23: 22,
    AF31: 26,
    AF32: 28,
    AF33: 30,
    AF41: 34,
    AF42: 36,
    AF43: 38,
  },
};

/** Limits that a pod's annotations ask for. What cannot be read is left out, what is out of range is the nearest in range: Calico only logs it. */
export function qosControls(annotations: Annotations): QosControls | undefined {
  const limits: { -readonly [K in Limit]?: number } = {};
  for (const [annotation, limit, [min, max]] of ANNOTATIONS) {
    const text = annotations[annotation];
    if (text === undefined) continue;
    const value = tryParseQuantity(text);
    if (value === undefined) delete limits[limit];
    else limits[limit] = Math.min(Math.max(Number(value), min), max);
  }
  for (const [peakrate, bandwidth] of [
    ["ingressPeakrate", "ingressBandwidth"],
    ["egressPeakrate", "egressBandwidth"],
  ] as const) {
    const least = limits[bandwidth];
    if (least === undefined || least >= (limits[peakrate] ?? 0)) delete limits[peakrate];
  }
  for (const [limit, needed] of NEEDS) if (limits[needed] === undefined) delete limits[limit];
  for (const [limit, burst, value] of BURSTS)
    if (limits[limit] !== undefined) limits[burst] ??= value;
  return Object.keys(limits).length === 0 ? undefined : limits;
}

/** The DSCP of packets that leave the cluster; `undefined` where there is none, or none that can be read. */
export function egressDscp(annotations: Annotations): number | undefined {
  const text = annotations[DSCP_ANNOTATION];
  if (text === undefined) return undefined;
  if (DSCP_NUMBER.test(text)) return Number(text) > MAX_DSCP ? undefined : Number(text);
  const name = text.trim().toUpperCase();
  return Object.hasOwn(DSCP_NAMES, name) ? DSCP_NAMES[name] : undefined;
}
