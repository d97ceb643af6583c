import type { Secret } from "@cnilab/core";
import { boolean, type Check, fail, map, string } from "@cnilab/core/validation";
import { type KindChecks, kind } from "./kind-checks.ts";

const texts = map(() => undefined, string);

/** What the API server wants in a Secret of a type (pkg/apis/core/validation/validation.go ValidateSecret). */
const keysOfType: Check = (value) => {
  const { type, data, stringData } = value as Secret;
  if (type !== "kubernetes.io/tls") return;
  const missing = ["tls.crt", "tls.key"].find((key) => !(key in { ...data, ...stringData }));
  if (missing !== undefined) fail(["data", missing], `is required for type ${type} and missing`);
};

export const SECRET_CHECKS: KindChecks = {
  ...kind("", { type: string, data: texts, stringData: texts, immutable: boolean }, []),
  whole: keysOfType,
};
