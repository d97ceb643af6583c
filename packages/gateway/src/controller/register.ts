import {
  ADD_ONS,
  CONTAINER_PROGRAMS,
  DEFAULT_INGRESS_CLASS,
  type DependencyContainer,
  NAME_LOOKUP,
  type NameLookup,
} from "@cnilab/core";
import { GatewayAddOn } from "./gateway-add-on.ts";
import { GatewayProgram } from "./gateway-program.ts";
import { INGRESS_ADD_ON, NGINX_CLASS } from "./ingress-add-on.ts";
import { IngressProgram } from "./ingress-program.ts";

/** Lets ingress-nginx run in containers of its image, and brings one where the input has Ingresses and none of its own. */
export function registerIngress(container: DependencyContainer): void {
  container.register(CONTAINER_PROGRAMS, { useValue: new IngressProgram(lookupOf(container)) });
  container.register(ADD_ONS, { useValue: INGRESS_ADD_ON });
  container.register(DEFAULT_INGRESS_CLASS, { useValue: NGINX_CLASS });
}

/** Brings GatewayClass `cnilab`, its controller and its proxy where the input has Gateways. */
export function registerGateway(container: DependencyContainer): void {
  container.register(CONTAINER_PROGRAMS, { useValue: new GatewayProgram(lookupOf(container)) });
  container.register(ADD_ONS, { useValue: new GatewayAddOn() });
}

function lookupOf(container: DependencyContainer): () => NameLookup | undefined {
  return () => (container.isRegistered(NAME_LOOKUP) ? container.resolve(NAME_LOOKUP) : undefined);
}
