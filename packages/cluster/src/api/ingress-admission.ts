import {
  type ApiClient,
  type Ingress,
  type IngressClass,
  withDefaultIngressClass,
} from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** Gives the default class to a new Ingress that names none. */
export class IngressAdmission implements Admission<"Ingress"> {
  readonly kind = "Ingress";
  readonly #api: ApiClient;
  readonly #toCome: () => IngressClass | undefined;

  /** @param toCome the class that the cluster brings along itself, where there is no other */
  constructor(api: ApiClient, toCome: () => IngressClass | undefined = () => undefined) {
    this.#api = api;
    this.#toCome = toCome;
  }

  create(ingress: Ingress): Ingress {
    const classes = this.#api.list("IngressClass");
    return withDefaultIngressClass(ingress, classes.length > 0 ? classes : this.#brought());
  }

  #brought(): readonly IngressClass[] {
    const toCome = this.#toCome();
    return toCome === undefined ? [] : [toCome];
  }
}
