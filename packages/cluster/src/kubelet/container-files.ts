import type { ApiClient, Container, HostFiles, Pod, Volume } from "@cnilab/core";

/**
 * Files of one container: those that the kubelet writes for the pod, ConfigMaps and folders of the node that are mounted. Each is
 * read as it is now, as the kubelet brings mounted ConfigMaps up to date.
 */
export class ContainerFiles {
  readonly #pod: Pod;
  readonly #container: Container;
  readonly #api: ApiClient;
  readonly #host: HostFiles;
  readonly #written: (path: string) => string | undefined;

  /** @param written files that the kubelet writes, as `/etc/resolv.conf` */
  constructor(
    pod: Pod,
    container: Container,
    api: ApiClient,
    host: HostFiles,
    written: (path: string) => string | undefined,
  ) {
    this.#pod = pod;
    this.#container = container;
    this.#api = api;
    this.#host = host;
    this.#written = written;
  }

  /** What is in a file; `undefined` where there is none. */
  read(path: string): string | undefined {
    return this.#mounted(path) ?? this.#written(path);
  }

  /** The object that a file is part of, as `ConfigMap ns/name`; `undefined` for others. */
  objectOf(path: string): string | undefined {
    const name = this.#mountOf(path)?.volume.configMap?.name;
    return name === undefined ? undefined : `ConfigMap ${this.#pod.metadata.namespace}/${name}`;
  }

  #mounted(path: string): string | undefined {
    const mount = this.#mountOf(path);
    return mount === undefined ? undefined : this.#read(mount.volume, mount.inside);
  }

  /** The innermost mount that a path is below has it, or nobody has. */
  #mountOf(path: string): { readonly volume: Volume; readonly inside: string } | undefined {
    let deepest = -1;
    let found: { readonly volume: Volume; readonly inside: string } | undefined;
    for (const { name, mountPath, subPath } of this.#container.volumeMounts ?? []) {
      const at = mountPath.replace(/\/+$/, "");
      const below = path === at || path.startsWith(`${at}/`);
      if (!below || at.length <= deepest) continue;
      const volume = this.#pod.spec.volumes?.find((v) => v.name === name);
      if (volume === undefined) continue;
      deepest = at.length;
      const rest = path.slice(at.length + 1);
      const inside = [subPath ?? "", rest].filter((part) => part !== "").join("/");
      found = { volume, inside };
    }
    return found;
  }

  #read({ configMap, hostPath }: Volume, path: string): string | undefined {
    if (hostPath !== undefined) {
      const folder = hostPath.path.replace(/\/+$/, "");
      return this.#host.read(path === "" ? folder : `${folder}/${path}`);
    }
    if (configMap?.name === undefined) return undefined;
    const map = this.#api.get("ConfigMap", `${this.#pod.metadata.namespace}/${configMap.name}`);
    const key = configMap.items === undefined ? path : keyOf(configMap.items, path);
    return key === undefined ? undefined : map?.data?.[key];
  }
}

function keyOf(
  items: readonly { readonly key: string; readonly path: string }[],
  path: string,
): string | undefined {
  return items.find((item) => item.path === path)?.key;
}
