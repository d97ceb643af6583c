import { labelsOf } from "../message/name.ts";

/** What a name below the cluster's zone asks for (CoreDNS `plugin/kubernetes/parse.go`). */
export interface RecordRequest {
  /** Undefined where the name ends before that: the zone, `svc` or `pod` themselves. */
  readonly kind?: "svc" | "pod";
  readonly namespace: string;
  readonly service: string;
  /** Empty where the name says nothing of it. */
  readonly endpoint: string;
  readonly port: string;
  readonly protocol: string;
  /** Of the topology, in a zonal name. */
  readonly zone: string;
  /** Whether endpoints of other zones are better than none. */
  readonly preferZone: boolean;
}

const NOTHING: RecordRequest = {
  namespace: "",
  service: "",
  endpoint: "",
  port: "",
  protocol: "",
  zone: "",
  preferZone: false,
};

/**
 * Forms: `SVC.NS.svc`, `ENDPOINT.SVC.NS.svc`, `_PORT._PROTO.SVC.NS.svc`, `IP.NS.pod` and, where it is asked for,
 * `ZONE.pin._zone.SVC.NS.svc` and `ZONE.prefer._zone.SVC.NS.svc`.
 * @param base the name in lower case, without the zone
 * @returns undefined for a name that can never be there
 */
export function parseRecordRequest(base: string, zonal: boolean): RecordRequest | undefined {
  const labels = labelsOf(base);
  const kind = labels.pop();
  if (kind === undefined) return NOTHING;
  if (kind !== "svc" && kind !== "pod") return undefined;
  if (labels.length === 0) return NOTHING;
  const namespace = labels.pop() as string;
  const service = labels.pop() ?? "";
  const request = { ...NOTHING, kind, namespace, service } as const;
  if (labels.length === 0) return request;
  if (labels.length === 1) return { ...request, endpoint: labels[0] as string };
  if (labels.length === 2) {
    const [port, protocol] = labels as [string, string];
    return { ...request, port: withoutUnderscore(port), protocol: withoutUnderscore(protocol) };
  }
  const mark = labels.pop();
  const directive = labels.pop();
  if (!zonal || kind !== "svc" || mark !== "_zone") return undefined;
  if (directive !== "pin" && directive !== "prefer") return undefined;
  return { ...request, zone: labels.join("."), preferZone: directive === "prefer" };
}

function withoutUnderscore(label: string): string {
  return label.startsWith("_") ? label.slice(1) : label;
}
