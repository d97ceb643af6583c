export type * from "./access-log-message.ts";
export type { FlowIdentities } from "./cluster-lookups.ts";
export { FILTER_FLAGS, type FilterFlag, FilterFlags } from "./filter-flags.ts";
export * from "./flow.ts";
export * from "./flow-filter.ts";
export { type FlowPredicate, flowPredicate } from "./flow-predicate.ts";
export {
  FLOW_FORMATS,
  type FlowFormat,
  type FlowPainter,
  FlowPrinter,
  type FlowPrinterOptions,
} from "./flow-printer.ts";
export { DEFAULT_FLOW_CAPACITY, type FlowRequest, FlowRing } from "./flow-ring.ts";
export { EVENTS_MAP, Hubble, type HubbleOptions } from "./hubble.ts";
export { MONITOR_AGGREGATIONS, type MonitorAggregation } from "./monitor-aggregation.ts";
export type * from "./monitor-message.ts";
export { readFlowFilter, readSavedFlow } from "./saved-flow.ts";
export { comparable, readMoment, TIME_FORMATS, type TimeFormat } from "./time-format.ts";
