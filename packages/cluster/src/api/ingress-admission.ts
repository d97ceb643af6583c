import { type ApiClient, type Ingress, withDefaultIngressClass } from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** Gives the default class to a new Ingress that names none. */
export class IngressAdmission implements Admission<"Ingress"> {
  readonly kind = "Ingress";
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  create(ingress: Ingress): Ingress {
    return withDefaultIngressClass(ingress, this.#api.list("IngressClass"));
  }
}
