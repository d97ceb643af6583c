import type { HostFiles } from "@cnilab/core";
import type { HostComputeNetwork, WindowsMachine } from "@cnilab/windows";
import type { WinkernelConfig } from "./winkernel-config.ts";

const CNI_FOLDER = "/etc/cni/net.d";
const SOURCE_VIP_FILE = "/k/sourceVip.json";

/** The HNS network that kube-proxy works on; `undefined` while it is not there. */
export function nodeNetwork(
  { hns, files }: WindowsMachine,
  { networkName }: WinkernelConfig,
): HostComputeNetwork | undefined {
  const name = networkName === "" ? cniNetworkName(files) : networkName;
  return name === undefined ? undefined : hns.getNetworkByName(name);
}

/** The name in the first CNI configuration, as the deployments' scripts read it (kubernetes-sigs/sig-windows-tools). */
function cniNetworkName(files: HostFiles): string | undefined {
  const [file] = files.list(CNI_FOLDER);
  return file === undefined ? undefined : stringAt(files.read(`${CNI_FOLDER}/${file}`), "name");
}

/** The source VIP that the configuration or the start scripts give; empty for none. */
export function sourceVipOf({ files }: WindowsMachine, { sourceVip }: WinkernelConfig): string {
  if (sourceVip !== "") return sourceVip;
  const text = files.read(SOURCE_VIP_FILE);
  if (text === undefined) return "";
  const { ips } = JSON.parse(text) as { readonly ips?: readonly { readonly address: string }[] };
  return ips?.[0]?.address.split("/")[0] ?? "";
}

function stringAt(json: string | undefined, key: string): string | undefined {
  if (json === undefined) return undefined;
  const value = (JSON.parse(json) as Readonly<Record<string, unknown>>)[key];
  return typeof value === "string" ? value : undefined;
}
