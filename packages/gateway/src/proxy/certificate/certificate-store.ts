import { type ApiClient, InputError, type Secret } from "@cnilab/core";
import type { Certificate } from "@cnilab/linux";
import type { ServedCertificate } from "../../routing/decision.ts";
import { certificateOf } from "./tls-secret.ts";

/** What ingress-nginx shows where it has nothing better (internal/ingress/controller/util, `GetFakeSSLCert`). */
export const FAKE_CERTIFICATE: Certificate = {
  names: ["ingress.local"],
  source: "Kubernetes Ingress Controller Fake Certificate",
};

/** Certificates out of Secrets, each read once as long as it does not change. */
export class CertificateStore {
  readonly #api: ApiClient;
  readonly #warn: (message: string) => void;
  readonly #read = new WeakMap<Secret, Certificate>();

  /** @param warn hears once of each Secret that cannot be read */
  constructor(api: ApiClient, warn: (message: string) => void) {
    this.#api = api;
    this.#warn = warn;
  }

  /** The fake one where none is given, or it is not there or cannot be read: then its `source` says so. */
  get(served: ServedCertificate | undefined): Certificate {
    if (served === undefined) return FAKE_CERTIFICATE;
    const key = `${served.namespace}/${served.name}`;
    const secret = this.#api.get("Secret", key);
    if (secret === undefined) return fake(`there is no Secret ${key}`);
    let certificate = this.#read.get(secret);
    if (certificate === undefined) {
      certificate = this.#certificateOf(secret);
      this.#read.set(secret, certificate);
    }
    return certificate;
  }

  #certificateOf(secret: Secret): Certificate {
    try {
      return certificateOf(secret);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#warn(error.message);
      return fake(error.message);
    }
  }
}

function fake(why: string): Certificate {
  return { ...FAKE_CERTIFICATE, source: `${FAKE_CERTIFICATE.source} (${why})` };
}
