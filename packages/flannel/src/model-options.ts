import { type ClusterConfig, type CniOption, type CniOptionValues, InputError } from "@cnilab/core";
import type { BackendType } from "./conf/backend-conf.ts";
import { type NetConf, parseNetConf } from "./conf/net-conf.ts";

/** A `--cni-set` that becomes a field of the `Backend` object. */
interface BackendOption extends CniOption {
  readonly field: string;
  readonly backends: readonly BackendType[];
}

const BACKEND_OPTIONS: readonly BackendOption[] = [
  {
    key: "directRouting",
    field: "DirectRouting",
    type: "boolean",
    backends: ["vxlan", "ipip"],
    description: "plain routes to nodes on the same link, the tunnel for the others only",
  },
  {
    key: "vni",
    field: "VNI",
    type: "integer",
    backends: ["vxlan"],
    description: "VXLAN network identifier, 1 unless given; the device is flannel.<VNI>",
  },
  {
    key: "port",
    field: "Port",
    type: "integer",
    backends: ["vxlan", "udp"],
    description: "UDP port of the tunnel: 8472 (vxlan) or 8285 (udp) unless given",
  },
  {
    key: "mtu",
    field: "MTU",
    type: "integer",
    backends: ["vxlan", "wireguard"],
    description: "MTU outside of the tunnel; the external interface's unless given",
  },
  {
    key: "gbp",
    field: "GBP",
    type: "boolean",
    backends: ["vxlan"],
    description: "VXLAN group policy extension",
  },
  {
    key: "learning",
    field: "Learning",
    type: "boolean",
    backends: ["vxlan"],
    description: "let the VXLAN device learn where MACs are",
  },
  {
    key: "mode",
    field: "Mode",
    type: "string",
    values: ["separate", "auto", "ipv4", "ipv6"],
    backends: ["wireguard"],
    description: "one tunnel a family, or one for both over the family named or found",
  },
  {
    key: "psk",
    field: "PSK",
    type: "string",
    backends: ["wireguard"],
    description: "preshared key of all tunnels, 32 bytes in base64",
  },
  {
    key: "persistentKeepalive",
    field: "PersistentKeepaliveInterval",
    type: "integer",
    backends: ["wireguard"],
    description: "seconds between packets that keep a NAT open; 0 is off",
  },
];

/** Options of net-conf.json and of flanneld itself. */
const OTHER_OPTIONS: readonly CniOption[] = [
  {
    key: "backend",
    type: "string",
    values: ["vxlan", "host-gw", "udp", "ipip", "wireguard", "alloc"],
    default: "vxlan",
    description: "how packets get from node to node",
  },
  {
    key: "nftables",
    type: "boolean",
    description: "masquerade and forward rules by nftables instead of iptables",
  },
  {
    key: "ipMasq",
    type: "boolean",
    description: "flanneld hides pods behind their node (--ip-masq); true unless given",
  },
  {
    key: "iface",
    type: "string",
    description:
      "interface to the other nodes, by name or address; the default route's unless given",
  },
];

export const MODEL_OPTIONS: readonly CniOption[] = [...OTHER_OPTIONS, ...BACKEND_OPTIONS].map(
  ({ key, type, description, values, default: preset }) => ({
    key,
    type,
    description,
    ...(values === undefined ? {} : { values }),
    ...(preset === undefined ? {} : { default: preset }),
  }),
);

/** The `Backend` object of net-conf.json. @throws InputError for an option that the backend has not */
function backendObject(options: CniOptionValues): Record<string, unknown> {
  const type = String(options["backend"] ?? "vxlan");
  const backend: Record<string, unknown> = { Type: type };
  for (const { key, field, backends } of BACKEND_OPTIONS) {
    const value = options[key];
    if (value === undefined) continue;
    if (!backends.some((b) => b === type)) {
      throw new InputError(
        `Flannel's option "${key}" is for the backend ${backends.join(" or ")}, not for ${type}`,
      );
    }
    backend[field] = value;
  }
  return backend;
}

/** Backends that have no IPv6. */
const IPV4_ONLY: readonly string[] = ["udp", "ipip"];

/** The net-conf.json of a cluster: its pod ranges are the networks. @throws InputError */
export function netConfFor(config: ClusterConfig, options: CniOptionValues): NetConf {
  const backend = backendObject(options);
  const [network, ipv6Network] = ([4, 6] as const).map((family) =>
    config.ipFamilies.includes(family)
      ? config.clusterCidrs.find((cidr) => cidr.family === family)
      : undefined,
  );
  if (network === undefined && IPV4_ONLY.includes(String(backend["Type"]))) {
    throw new InputError(`Flannel's backend ${backend["Type"]} needs IPv4; try vxlan`);
  }
  return parseNetConf(
    {
      EnableIPv4: network !== undefined,
      EnableIPv6: ipv6Network !== undefined,
      EnableNFTables: options["nftables"] ?? false,
      ...(network === undefined ? {} : { Network: String(network) }),
      ...(ipv6Network === undefined ? {} : { IPv6Network: String(ipv6Network) }),
      Backend: backend,
    },
    "Flannel's options",
  );
}
