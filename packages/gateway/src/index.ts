export * from "./gateway-api/gateway-input.ts";
export * from "./ingress/ingress-input.ts";
export * from "./proxy/endpoint-index.ts";
export * from "./proxy/proxy-report.ts";
export * from "./routing/choose-backend.ts";
export * from "./routing/decision.ts";
export * from "./routing/proxy-rules.ts";
export * from "./routing/request-head.ts";
