import { CONFIG_FOLDER } from "@cnilab/cni-plugins";
import type { IpFamily } from "@cnilab/net";

/** Where `install-cni` puts the network's configuration. */
export const CONFLIST_FILE: string = `${CONFIG_FOLDER}/10-calico.conflist`;

export type CalicoIpamType = "calico-ipam" | "host-local";

export interface ConflistOptions {
  readonly node: string;
  /** `veth_mtu` of ConfigMap calico-config; 0 leaves it to Felix. */
  readonly mtu: number;
  readonly ipam: CalicoIpamType;
  readonly families: readonly IpFamily[];
  readonly allowIpForwarding: boolean;
}

/**
 * `cni_network_config` of the installation manifest (manifests/calico.yaml) with its blanks filled in. There is no plugin `bandwidth` in
 * it: Felix reads the annotations itself.
 */
export function conflist(options: ConflistOptions): string {
  const { node, mtu, allowIpForwarding } = options;
  const list = {
    name: "k8s-pod-network",
    cniVersion: "1.0.0",
    plugins: [
      {
        type: "calico",
        log_level: "info",
        log_file_path: "/var/log/calico/cni/cni.log",
        datastore_type: "kubernetes",
        nodename: node,
        mtu,
        ipam: ipamSection(options),
        policy: { type: "k8s" },
        kubernetes: { kubeconfig: `${CONFIG_FOLDER}/calico-kubeconfig` },
        ...(allowIpForwarding && { container_settings: { allow_ip_forwarding: true } }),
      },
      { type: "portmap", snat: true, capabilities: { portMappings: true } },
    ],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

function ipamSection({ ipam, families }: ConflistOptions): Readonly<Record<string, unknown>> {
  if (ipam === "host-local") {
    const ranges = families.map((family) => [
      { subnet: family === 4 ? "usePodCidr" : "usePodCidrIPv6" },
    ]);
    return ranges.length === 1 ? { type: ipam, ...ranges[0]?.[0] } : { type: ipam, ranges };
  }
  const plain = families.length === 1 && families[0] === 4;
  return {
    type: ipam,
    // As the documentation has people set it for IPv6 and dual stack.
    ...(!plain && {
      assign_ipv4: String(families.includes(4)),
      assign_ipv6: String(families.includes(6)),
    }),
  };
}
