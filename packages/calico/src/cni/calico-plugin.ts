import {
  type ApiClient,
  type CniCall,
  CniError,
  type CniPlugin,
  type CniResult,
  type PluginConfig,
  type Pod,
} from "@cnilab/core";
import type { Kernel, NetNamespace } from "@cnilab/linux";
import {
  formatIp,
  formatMac,
  type IpAddress,
  parsePrefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import { vethName } from "../names/veth-name.ts";
import { MTU_FILE } from "../routing/mtu.ts";
import { failure } from "./failure.ts";
import { type CalicoNetConf, readNetConf } from "./net-conf.ts";
import { POD_ANNOTATIONS } from "./pod-annotations.ts";
import { setUpHostRoutes, setUpPodInterface } from "./pod-interface.ts";

/** calico-node writes it when it is up; the plugin waits for it. */
export const NODENAME_FILE = "/var/lib/calico/nodename";

const DEFAULT_ROUTES = [parsePrefix("0.0.0.0/0"), parsePrefix("::/0")];

export interface CalicoPluginOptions {
  readonly api: ApiClient;
  /** Name of the machine, where the configuration names no node. */
  readonly node: string;
  /** FELIX_INTERFACEPREFIX. */
  readonly interfacePrefix?: string;
}

/** The plugin `calico` (`cni-plugin/pkg/plugin`, `cni-plugin/pkg/k8s`): addresses from IPAM, a veth, and a word on the Pod. */
export class CalicoPlugin implements CniPlugin {
  readonly type = "calico";
  readonly supportedVersions: readonly string[] = [
    "0.1.0",
    "0.2.0",
    "0.3.0",
    "0.3.1",
    "0.4.0",
    "1.0.0",
  ];
  readonly #api: ApiClient;
  readonly #node: string;
  readonly #prefix: string;

  constructor({ api, node, interfacePrefix = "cali" }: CalicoPluginOptions) {
    this.#api = api;
    this.#node = node;
    this.#prefix = interfacePrefix;
  }

  add(call: CniCall): CniResult {
    const kernel = call.host as Kernel;
    const conf = readNetConf(call.config);
    const node = kernel.files.read(NODENAME_FILE);
    if (node === undefined) {
      throw failure(
        `stat ${NODENAME_FILE}: no such file or directory: check that the calico/node container is running and has mounted /var/lib/calico/`,
      );
    }
    const mtu = conf.mtu || Number(kernel.files.read(MTU_FILE) ?? 0);
    const { namespace, name } = podOf(call.args);
    const pod = this.#api.get("Pod", `${namespace}/${name}`);
    const sandbox = sandboxOf(kernel, call.netns);
    const result = this.#addresses(call, conf, pod);
    const addresses = (result.ips ?? []).map(({ address }) => addressOf(address));
    const hostName = vethName(namespace, name, this.#prefix);
    try {
      const podSide = setUpPodInterface(kernel.initNs, sandbox, {
        hostName,
        podName: call.ifName,
        addresses,
        mtu,
        mac: pod?.metadata.annotations?.[POD_ANNOTATIONS.hwAddr],
        routes: routesOf(conf),
        allowIpForwarding: conf.allowIpForwarding,
      });
      setUpHostRoutes(kernel.initNs, hostName, addresses);
      this.#write(call, addresses);
      return {
        ...result,
        interfaces: [
          { name: hostName },
          {
            name: call.ifName,
            mac: formatMac(podSide.mac),
            ...(mtu > 0 && { mtu }),
            sandbox: call.netns,
          },
        ],
        ips: addresses.map((address) => ({ address: hostText(address), interface: 1 })),
      };
    } catch (error) {
      this.#release(call, conf);
      throw error;
    }
  }

  #addresses(call: CniCall, conf: CalicoNetConf, pod: Pod | undefined): CniResult {
    const annotations = pod?.metadata.annotations ?? {};
    const wanted = annotations[POD_ANNOTATIONS.ipAddrs] ?? "";
    const fixed = annotations[POD_ANNOTATIONS.ipAddrsNoIpam] ?? "";
    if (wanted !== "" && fixed !== "") {
      throw failure(
        "can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time",
      );
    }
    if (fixed !== "") return this.#withoutIpam(conf, fixed);
    if (wanted !== "" && conf.ipamType !== "calico-ipam") {
      throw failure(`ipAddrs is not compatible with configured IPAM: ${conf.ipamType}`);
    }
    const config = this.#ipamConfig(call.config);
    const result = call.delegate(conf.ipamType, "ADD", config);
    if (result?.ips === undefined || result.ips.length === 0) {
      throw failure("IPAM plugin returned missing IP config");
    }
    return result;
  }

  /** host-local may be told to take the node's own ranges (ReplaceHostLocalIPAMPodCIDRs). */
  #ipamConfig(config: PluginConfig): PluginConfig {
    if (config.ipam?.type !== "host-local") return config;
    const node = this.#api.get("Node", this.#node);
    const cidrs = node?.spec?.podCIDRs ?? [node?.spec?.podCIDR ?? ""];
    const replace = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(replace);
      if (typeof value === "object" && value !== null) {
        return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, replaced(k, v)]));
      }
      return value;
    };
    const replaced = (key: string, value: unknown): unknown => {
      if (key !== "subnet" || typeof value !== "string") return replace(value);
      const lower = value.toLowerCase();
      if (lower !== "usepodcidr" && lower !== "usepodcidripv6") return value;
      const cidr = cidrs.find((c) => c.includes(":") === (lower === "usepodcidripv6"));
      if (cidr !== undefined && cidr !== "") return cidr;
      throw failure(`no podCidr for node ${this.#node}`);
    };
    return { ...config, ipam: replace(config.ipam) as NonNullable<PluginConfig["ipam"]> };
  }

  #withoutIpam(conf: CalicoNetConf, text: string): CniResult {
    if (conf.ipamType !== "calico-ipam") {
      throw failure(`ipAddrsNoIpam is not compatible with configured IPAM: ${conf.ipamType}`);
    }
    if (!conf.ipAddrsNoIpam) throw failure("requested feature is not enabled: ip_addrs_no_ipam");
    const addresses = parseAddresses(text, "cni.projectcalico.org/ipAddrsNoIpam");
    return { cniVersion: "1.0.0", ips: addresses.map((a) => ({ address: hostText(a) })) };
  }

  /** The pod's addresses are known to Felix before the kubelet tells of them. */
  #write({ args, containerId }: CniCall, addresses: readonly IpAddress[]): void {
    const { namespace, name } = podOf(args);
    const texts = addresses.map(hostText);
    this.#annotate(`${namespace}/${name}`, {
      [POD_ANNOTATIONS.podIp]: texts[0] ?? "",
      [POD_ANNOTATIONS.podIps]: texts.join(","),
      [POD_ANNOTATIONS.containerId]: containerId,
    });
  }

  #annotate(key: string, annotations: Readonly<Record<string, string>>): void {
    this.#api.update("Pod", key, (pod) => ({
      ...pod,
      metadata: {
        ...pod.metadata,
        annotations: { ...pod.metadata.annotations, ...annotations },
      },
    }));
  }

  del(call: CniCall): void {
    const kernel = call.host as Kernel;
    const conf = readNetConf(call.config);
    const { namespace, name } = podOf(call.args);
    const key = `${namespace}/${name}`;
    const written = this.#api.get("Pod", key)?.metadata.annotations?.[POD_ANNOTATIONS.containerId];
    // Another sandbox of the same pod is not this one's business.
    if (written === undefined || written === "" || written === call.containerId) {
      this.#annotate(key, { [POD_ANNOTATIONS.podIp]: "", [POD_ANNOTATIONS.podIps]: "" });
    }
    kernel.findNamespace(call.netns)?.findDevice(call.ifName)?.remove();
    call.delegate(conf.ipamType, "DEL", this.#ipamConfig(call.config));
  }

  /** The real plugin has nothing to check. */
  check(): void {}

  #release(call: CniCall, { ipamType }: CalicoNetConf): void {
    try {
      call.delegate(ipamType, "DEL", this.#ipamConfig(call.config));
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
    }
  }
}

function routesOf({ routes, includeDefaultRoutes }: CalicoNetConf) {
  if (routes.length === 0) return DEFAULT_ROUTES;
  return includeDefaultRoutes ? [...DEFAULT_ROUTES, ...routes] : routes;
}

interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** `K8S_POD_NAMESPACE` and `K8S_POD_NAME` of CNI_ARGS. */
function podOf(args: string): PodName {
  const value = (key: string) => new RegExp(`(?:^|;)${key}=([^;]*)`).exec(args)?.[1] ?? "";
  return { namespace: value("K8S_POD_NAMESPACE"), name: value("K8S_POD_NAME") };
}

function sandboxOf(kernel: Kernel, path: string): NetNamespace {
  const sandbox = kernel.findNamespace(path);
  if (sandbox !== undefined) return sandbox;
  throw failure(`failed to Statfs "${path}": no such file or directory`);
}

function addressOf(text: string): IpAddress {
  const parsed = tryParseInterfaceAddress(text);
  if (parsed === undefined) throw failure(`invalid CIDR address: ${text}`);
  return parsed.address;
}

function hostText(address: IpAddress): string {
  return `${formatIp(address)}/${typeof address === "number" ? 32 : 128}`;
}

/** A JSON list of at most one address of each family (validateAndExtractIPs). @throws CniError */
export function parseAddresses(text: string, annotation: string): IpAddress[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw failure(`failed to parse '${text}' as JSON: invalid character`);
  }
  if (!Array.isArray(list) || list.length === 0) {
    throw failure(`annotation "${annotation}" specified but empty`);
  }
  const addresses = list.map((item) => {
    const address = typeof item === "string" ? tryParseIp(item) : undefined;
    if (address === undefined) throw failure(`invalid IP format: ${String(item)}`);
    return address;
  });
  for (const family of [4, 6] as const) {
    const count = addresses.filter((a) => (typeof a === "number") === (family === 4)).length;
    if (count > 1) {
      throw failure(
        `cannot have more than one IPv${family} address for "${annotation}" annotation`,
      );
    }
  }
  return addresses;
}
