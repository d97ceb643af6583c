import { InputError, type Secret } from "@cnilab/core";
import { certificateOf } from "../proxy/certificate/tls-secret.ts";
import { hostMatches } from "./host-index.ts";

/** What can be said of a Secret that is to be a server's certificate. */
export interface TlsSecretUse {
  /** Why it cannot be one. */
  readonly fault?: string;
  /** The names that it is for. */
  readonly names: readonly string[];
}

const known = new WeakMap<Secret, TlsSecretUse>();

export function tlsSecretUse(secret: Secret | undefined): TlsSecretUse {
  if (secret === undefined) return { fault: "is not there", names: [] };
  let use = known.get(secret);
  if (use === undefined) {
    use = read(secret);
    known.set(secret, use);
  }
  return use;
}

/** Whether a certificate is for a host, or for the very wildcard (Go crypto/x509 VerifyHostname). */
export function isForHost({ names }: TlsSecretUse, host: string): boolean {
  return names.some((name) => {
    const lower = name.toLowerCase();
    return lower === host || hostMatches(lower, host, "one label");
  });
}

function read(secret: Secret): TlsSecretUse {
  const keys = { ...secret.data, ...secret.stringData };
  const missing = ["tls.crt", "tls.key"].find((key) => (keys[key] ?? "") === "");
  if (missing !== undefined) return { fault: `has no ${missing}`, names: [] };
  try {
    return { names: certificateOf(secret).names };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return {
      fault: error.message.slice(error.where.length).replace(/^: /, "cannot be used: "),
      names: [],
    };
  }
}
