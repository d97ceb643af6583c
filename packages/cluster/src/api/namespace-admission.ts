import { withNamespaceLabel } from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** Gives every namespace the label with its name, and keeps it. */
export const NAMESPACE_ADMISSION: Admission<"Namespace"> = {
  kind: "Namespace",
  create: withNamespaceLabel,
  update: withNamespaceLabel,
};
