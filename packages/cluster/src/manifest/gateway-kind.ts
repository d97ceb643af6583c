import type { Check } from "@cnilab/core/validation";
import { type KindChecks, kind } from "./kind-checks.ts";

const GATEWAY_GROUP = "gateway.networking.k8s.io";
/** Of kinds on trial, whose names start with an X. */
export const EXPERIMENTAL_GROUP = "gateway.networking.x-k8s.io";

export function gatewayKind(spec: Check, ...olderVersions: readonly string[]): KindChecks {
  return { ...kind(GATEWAY_GROUP, { spec }), olderVersions };
}
