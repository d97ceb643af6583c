import type {
  CniResult,
  HostFiles,
  HostFolder,
  LazyContents,
  NetworkConfigList,
} from "@cnilab/core";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base64 } from "@scure/base";
import type { RuntimeConf } from "./runtime.ts";

const FOLDER = "/var/lib/cni/results";

/** A file of libcni's cache, as far as it is read again (libcni `cachedInfo`). */
interface CachedInfo {
  readonly kind: string;
  readonly containerId: string;
  readonly ifName: string;
  readonly networkName: string;
  readonly netns?: string;
  readonly cniArgs?: readonly (readonly [string, string])[];
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
  readonly result?: CniResult;
}

/** What stands in the file of one attachment; every pod has two such files, and most are never read. */
class CacheFile implements LazyContents {
  readonly #list: NetworkConfigList;
  readonly #rt: RuntimeConf;
  readonly #result: CniResult;

  constructor(list: NetworkConfigList, rt: RuntimeConf, result: CniResult) {
    this.#list = list;
    this.#rt = rt;
    this.#result = result;
  }

  text(): string {
    const { containerId, ifName, netns, args, capabilityArgs } = this.#rt;
    return JSON.stringify({
      kind: "cniCacheV1",
      containerId,
      config: configOf(this.#list),
      ifName,
      networkName: this.#list.name,
      ...(netns !== "" && { netns }),
      ...(args && { cniArgs: args.split(";").map((pair) => splitPair(pair)) }),
      ...(capabilityArgs !== undefined && { capabilityArgs }),
      result: this.#result,
    });
  }
}

/** Each attachment's ADD result, in a file of its own: CHECK, DEL and GC need it. */
export class ResultCache {
  readonly #folder: HostFolder;

  constructor(files: HostFiles) {
    this.#folder = files.folder(FOLDER);
  }

  add(list: NetworkConfigList, rt: RuntimeConf, result: CniResult): void {
    this.#folder.write(nameOf(list.name, rt), new CacheFile(list, rt, result));
  }

  find(list: NetworkConfigList, rt: RuntimeConf): CniResult | undefined {
    return this.#read(nameOf(list.name, rt))?.result;
  }

  remove(list: NetworkConfigList, rt: RuntimeConf): void {
    this.#folder.remove(nameOf(list.name, rt));
  }

  /** All attachments to a network. */
  attachments(network: string): RuntimeConf[] {
    const found: RuntimeConf[] = [];
    for (const name of this.#folder.list()) {
      const cached = this.#read(name);
      if (cached?.networkName !== network) continue;
      const { containerId, ifName, netns, cniArgs, capabilityArgs } = cached;
      found.push({
        containerId,
        ifName,
        netns: netns ?? "",
        ...(cniArgs !== undefined && { args: cniArgs.map((pair) => pair.join("=")).join(";") }),
        ...(capabilityArgs !== undefined && { capabilityArgs }),
      });
    }
    return found;
  }

  /** Files that are none of libcni's count as none. */
  #read(name: string): CachedInfo | undefined {
    const text = this.#folder.read(name);
    if (text === undefined) return undefined;
    try {
      const cached = JSON.parse(text) as CachedInfo;
      return cached.kind === "cniCacheV1" ? cached : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Of each list, the part of the file that says its configuration: the same on all machines that use it. */
const configs = new WeakMap<NetworkConfigList, string>();

function configOf(list: NetworkConfigList): string {
  let config = configs.get(list);
  if (config === undefined) {
    config = base64.encode(utf8ToBytes(JSON.stringify(list)));
    configs.set(list, config);
  }
  return config;
}

/** In one piece, as it is kept as long as the container is there. */
function nameOf(network: string, { containerId, ifName }: RuntimeConf): string {
  return [network, containerId, ifName].join("-");
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
}
