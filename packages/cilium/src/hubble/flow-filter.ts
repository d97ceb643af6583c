import type { FlowHttpHeader, FlowWorkload, TcpFlags, TrafficDirection, Verdict } from "./flow.ts";

/**
 * What a flow must have to be let through, with the fields of Flow's own filter (api/v1/flow/flow.proto FlowFilter): one
 * of the values of every field that is given.
 */
export interface FlowFilter {
  readonly uuid?: readonly string[];
  readonly source_ip?: readonly string[];
  readonly source_ip_xlated?: readonly string[];
  readonly source_pod?: readonly string[];
  readonly source_fqdn?: readonly string[];
  readonly source_label?: readonly string[];
  readonly source_service?: readonly string[];
  readonly source_workload?: readonly FlowWorkload[];
  readonly source_cluster_name?: readonly string[];
  readonly destination_ip?: readonly string[];
  readonly destination_pod?: readonly string[];
  readonly destination_fqdn?: readonly string[];
  readonly destination_label?: readonly string[];
  readonly destination_service?: readonly string[];
  readonly destination_workload?: readonly FlowWorkload[];
  readonly destination_cluster_name?: readonly string[];
  readonly traffic_direction?: readonly TrafficDirection[];
  readonly verdict?: readonly Verdict[];
  readonly drop_reason_desc?: readonly string[];
  readonly interface?: readonly { readonly index?: number; readonly name?: string }[];
  readonly event_type?: readonly EventTypeFilter[];
  readonly http_status_code?: readonly string[];
  readonly protocol?: readonly string[];
  readonly source_port?: readonly string[];
  readonly destination_port?: readonly string[];
  readonly reply?: readonly boolean[];
  readonly dns_query?: readonly string[];
  readonly source_identity?: readonly number[];
  readonly destination_identity?: readonly number[];
  readonly http_method?: readonly string[];
  readonly http_path?: readonly string[];
  readonly http_url?: readonly string[];
  readonly http_header?: readonly FlowHttpHeader[];
  readonly tcp_flags?: readonly TcpFlags[];
  readonly node_name?: readonly string[];
  readonly node_labels?: readonly string[];
  readonly ip_version?: readonly ("IP_NOT_USED" | "IPv4" | "IPv6")[];
  readonly trace_id?: readonly string[];
}

export interface EventTypeFilter {
  /** As `MESSAGE_TYPE`; 0 or absent is any. */
  readonly type?: number;
  /** Whether `sub_type` counts, as 0 is one. */
  readonly match_sub_type?: boolean;
  readonly sub_type?: number;
}
