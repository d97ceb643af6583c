import type { ApiClient } from "@cnilab/core";
import { base64 } from "@scure/base";
import type { HeaderMatch } from "../../api/v2/rule.ts";

/**
 * The value that a header is compared with, out of a Secret that has one item alone (pkg/crypto/certificatemanager GetSecretString);
 * `undefined` where there is none.
 */
export function headerSecret(api: ApiClient, { secret }: HeaderMatch): string | undefined {
  if (secret === undefined) return undefined;
  const found = api.get("Secret", `${secret.namespace ?? "default"}/${secret.name}`);
  const encoded = Object.values(found?.data ?? {});
  const values = [...encoded.map(decoded), ...Object.values(found?.stringData ?? {})];
  return values.length === 1 ? values[0] : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return new TextDecoder().decode(base64.decode(text));
  } catch {
    return undefined;
  }
}
