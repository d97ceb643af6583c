export {
  GATEWAY_CONTROLLER_NAME,
  gatewayInput,
  gatewayServices,
} from "./controller/gateway-program.ts";
export { type IngressController, ingressControllers } from "./controller/ingress-controllers.ts";
export { type IngressFlags, ingressInput } from "./controller/ingress-program.ts";
export * from "./controller/register.ts";
export * from "./diff/derive-requests.ts";
export * from "./diff/diff-rules.ts";
export { type Fate, fateText } from "./diff/fate.ts";
export type { NotCompared } from "./diff/not-compared.ts";
export { fixtureRules } from "./fixtures/rule-fixture.ts";
export { withTransitionTimes } from "./gateway-api/conditions.ts";
export * from "./gateway-api/gateway-input.ts";
export { gatewayState } from "./gateway-api/gateway-state.ts";
export * from "./ingress/ingress-input.ts";
export { ingressRules } from "./ingress/ingress-rules.ts";
export * from "./proxy/endpoint-index.ts";
export * from "./proxy/proxy-report.ts";
export * from "./routing/choose-backend.ts";
export * from "./routing/decision.ts";
export * from "./routing/outcome.ts";
export * from "./routing/proxy-rules.ts";
export * from "./routing/request-head.ts";
export { type TlsSecretUse, tlsSecretUse } from "./routing/tls-secret-use.ts";
