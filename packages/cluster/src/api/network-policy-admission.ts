import { withPolicyTypes } from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** Says of every NetworkPolicy which directions it is about. */
export const NETWORK_POLICY_ADMISSION: Admission<"NetworkPolicy"> = {
  kind: "NetworkPolicy",
  create: withPolicyTypes,
  update: withPolicyTypes,
};
