import type { ApiClient } from "@cnilab/core";
import type * as v3 from "../api/v3.ts";
import type { BgpSources } from "./bgp-view.ts";

/** Where confd looks for Secrets, unless NAMESPACE says otherwise (`confd/pkg/backends/calico/secret_watcher.go`). */
const NAMESPACE = "kube-system";

export type ReferenceSources = Pick<BgpSources, "peers" | "filters" | "configurations">;

/** A Secret that a session's password is in. */
interface PasswordReference {
  readonly by: string;
  readonly name: string;
  readonly key: string;
}

/**
 * What BGPPeers and BGPConfigurations name and the cluster lacks. confd writes a session without either: of a password its log says a word
 * (`client.go` getPassword), of a filter nothing does (`bgp_processor.go` buildImportFilter).
 */
export class MissingReferences {
  #sources: ReferenceSources | undefined;
  #filters: readonly string[] = [];
  #passwords: readonly PasswordReference[] = [];

  /** One line each. All nodes of a cluster ask the same. */
  of(sources: ReferenceSources, api: ApiClient): readonly string[] {
    this.#read(sources);
    const passwords = this.#passwords.flatMap(({ by, name, key }) => {
      const { data, stringData } = (api.get("Secret", `${NAMESPACE}/${name}`) ?? {}) as Secret;
      if (data?.[key] !== undefined || stringData?.[key] !== undefined) return [];
      return [
        `${by} has its password in Secret ${NAMESPACE}/${name}, key ${key}, which is not there: BIRD is told none`,
      ];
    });
    return [...this.#filters, ...passwords];
  }

  #read(sources: ReferenceSources): void {
    const last = this.#sources;
    this.#sources = sources;
    if (
      last?.peers === sources.peers &&
      last.filters === sources.filters &&
      last.configurations === sources.configurations
    ) {
      return;
    }
    const peers = [...sources.peers.objects.values()];
    const filters = sources.filters.objects;
    this.#filters = peers.flatMap(({ metadata, spec }) =>
      (spec.filters ?? [])
        .filter((name) => !filters.has(name))
        .map(
          (name) =>
            `BGPPeer ${metadata.name} names BGPFilter ${name}, which is not there: routes pass as if it named none`,
        ),
    );
    const mesh = sources.configurations.objects.get("default")?.spec;
    const hasMesh = mesh?.nodeToNodeMeshEnabled !== false;
    this.#passwords = [
      ...peers.flatMap(({ metadata, spec }) =>
        reference(`BGPPeer ${metadata.name}`, spec.password),
      ),
      ...(hasMesh ? reference("BGPConfiguration default", mesh?.nodeMeshPassword) : []),
    ];
  }
}

interface Secret {
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
}

function reference(by: string, password: v3.BGPPassword | undefined): PasswordReference[] {
  const { name = "", key } = password?.secretKeyRef ?? {};
  return key === undefined ? [] : [{ by, name, key }];
}
