export * from "./conntrack.ts";
export {
  exampleOf,
  explain,
  explainableTerms,
  explainText,
  similarTerms,
} from "./explain/explain.ts";
export { GLOSSARY } from "./explain/glossary.ts";
export type { GlossaryEntry } from "./explain/glossary-entry.ts";
export type { AskedUrl } from "./http/asked-url.ts";
export { doorProblems, httpProblem } from "./http/http-diagnosis.ts";
export { type HttpLeg, type HttpReport, httpReport, legText } from "./http/http-report.ts";
export * from "./iproute/addrs.ts";
export * from "./iproute/fdb.ts";
export * from "./iproute/links.ts";
export * from "./iproute/neighbours.ts";
export * from "./iproute/routes.ts";
export * from "./iproute/rules.ts";
export * from "./iproute/traffic-control.ts";
export * from "./json.ts";
export { kubectlDescribe } from "./kubectl/describe/describe.ts";
export { age, humanDuration } from "./kubectl/human-duration.ts";
export { podStatus } from "./kubectl/pod-row.ts";
export * from "./kubectl/tables.ts";
export * from "./measure/encapsulation.ts";
export * from "./measure/kernel-state.ts";
export * from "./measure/walk-measure.ts";
export * from "./show.ts";
export * from "./sockets.ts";
export * from "./sysctls.ts";
export * from "./trace/drop-explanations.ts";
export { placeOf } from "./trace/hops.ts";
export type { NameOf } from "./trace/packet-text.ts";
export { plainWalk } from "./trace/plain-walk.ts";
export { serviceSummary } from "./trace/service-summary.ts";
export type { Weight } from "./trace/step-text.ts";
export * from "./trace/style.ts";
export * from "./trace/trace-json.ts";
export * from "./trace/trace-pcapng.ts";
export { type TraceTextOptions, traceText } from "./trace/trace-text.ts";
