import { claimedIngresses } from "./claim.ts";
import type { IngressControllerOptions, IngressInput, IngressRules } from "./ingress-input.ts";
import { KubernetesRules } from "./kubernetes-rules.ts";
import { NginxRules } from "./nginx-rules.ts";

/** What an ingress controller serves, of all Ingresses there are. */
export function ingressRules(
  input: IngressInput,
  options: IngressControllerOptions = {},
): IngressRules {
  const claimed = claimedIngresses(input, options);
  return options.dialect === "kubernetes"
    ? new KubernetesRules(claimed, input, options)
    : new NginxRules(claimed, input, options);
}
