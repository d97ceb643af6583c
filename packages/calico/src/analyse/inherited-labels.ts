import type { KubeObject, Labels } from "@cnilab/core";
import { namespaceProfile, serviceAccountProfile } from "../conversion/profiles.ts";

/** Labels that endpoints and sets inherit from the profiles of namespaces and service accounts. */
export class InheritedLabels {
  readonly #accounts = new Map<string, Labels>();
  readonly #found = new Map<string, Labels>();

  constructor(serviceAccounts: readonly Pick<KubeObject, "metadata">[]) {
    for (const { metadata } of serviceAccounts) {
      const { namespace = "default", name, labels = {} } = metadata;
      this.#accounts.set(`${namespace}/${name}`, labels);
    }
  }

  ofNamespace(name: string, labels: Labels): Labels {
    return this.#remember(`${name}/`, () =>
      labelsOf(namespaceProfile({ metadata: { name, labels } })),
    );
  }

  /** Admission sees to it that a pod's service account is there, whether the input says so or not. */
  ofServiceAccount(namespace: string, name: string): Labels {
    const key = `${namespace}/${name}`;
    return this.#remember(key, () => {
      const labels = this.#accounts.get(key) ?? {};
      return labelsOf(serviceAccountProfile({ metadata: { namespace, name, labels } }));
    });
  }

  #remember(key: string, find: () => Labels): Labels {
    let labels = this.#found.get(key);
    if (labels === undefined) {
      labels = find();
      this.#found.set(key, labels);
    }
    return labels;
  }
}

function labelsOf({ spec }: ReturnType<typeof namespaceProfile>): Labels {
  return spec.labelsToApply ?? {};
}
