import {
  CNI_ERROR,
  CniError,
  type HostFiles,
  type NetworkConfigList,
  type NetworkPluginConfig,
} from "@cnilab/core";
import { SPEC_VERSIONS, versionAtLeast } from "./spec-version.ts";

/** Where runtimes look for the network of a node. */
export const CONFIG_FOLDER = "/etc/cni/net.d";

/** A `.conflist` file (libcni NetworkConfFromBytes). @throws CniError saying what is missing */
export function parseNetworkList(text: string): NetworkConfigList {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw invalid(`error parsing configuration list: ${(error as Error).message}`);
  }
  const list = raw as Partial<NetworkConfigList>;
  if (typeof list?.name !== "string") throw invalid("error parsing configuration list: no name");
  if (!Array.isArray(list.plugins)) {
    throw invalid("error parsing configuration list: no 'plugins' key");
  }
  if (list.plugins.length === 0) {
    throw invalid("error parsing configuration list: no plugins in list");
  }
  for (const [i, plugin] of (list.plugins as readonly Partial<NetworkPluginConfig>[]).entries()) {
    if (!plugin.type) throw invalid(`failed to parse plugin config ${i}: missing 'type'`);
  }
  return { ...list, cniVersion: newestVersion(list) } as NetworkConfigList;
}

/** The highest version that both sides speak. */
function newestVersion({ cniVersion = "", cniVersions = [] }: Partial<NetworkConfigList>): string {
  const known = [cniVersion, ...cniVersions].filter((version) => SPEC_VERSIONS.includes(version));
  let newest = known[0] ?? cniVersion;
  for (const version of known) if (versionAtLeast(version, newest)) newest = version;
  return newest;
}

/**
 * The network of a node: the first `.conflist` by name. `undefined` while there is none.
 * @throws CniError as {@link parseNetworkList}
 */
export function readNetworkList(
  files: HostFiles,
  folder: string = CONFIG_FOLDER,
): NetworkConfigList | undefined {
  const name = files.list(folder).find((file) => file.endsWith(".conflist"));
  const text = name === undefined ? undefined : files.read(`${folder}/${name}`);
  return text === undefined ? undefined : parseNetworkList(text);
}

/**
 * The same, as the kubelet has it: the folder is read whenever `file` changed; until then the list is the same object.
 */
export function watchedNetworkList(
  files: HostFiles,
  file: string,
): () => NetworkConfigList | undefined {
  let text: string | undefined;
  let list: NetworkConfigList | undefined;
  return () => {
    const now = files.read(file);
    if (now !== text || now === undefined) {
      text = now;
      list = readNetworkList(files);
    }
    return list;
  };
}

function invalid(message: string): CniError {
  return new CniError(CNI_ERROR.decodeFailure, message);
}
