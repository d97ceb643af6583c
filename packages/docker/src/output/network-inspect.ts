import { formatIp, formatMac, type IpAddress, type Prefix } from "@cnilab/net";
import type { BridgeNetwork } from "../bridge-network.ts";
import type { DockerHost, SpecialNetwork } from "../docker-host.ts";
import type { AddressPool } from "../ipam/address-pool.ts";
import { sortedByKey } from "./docker-table.ts";
import { goTime } from "./go-time.ts";

/** A network as `docker network inspect` shows it: fields in the API's order (api/types/network, version 1.52 and later). @throws DockerError */
export function inspectNetwork(docker: DockerHost, name: string): object {
  if (name === "host" || name === "none") return inspectSpecial(docker, name);
  const network = docker.network(name);
  const { id, createdAt, spec, internal, pool, pool6 } = network;
  const containers = docker.containersOf(network).map((container) => {
    const endpoint = container.endpointIn(network);
    const address = endpoint && `${formatIp(endpoint.address)}/${network.subnet.length}`;
    return [
      container.id,
      {
        Name: container.name,
        EndpointID: endpoint?.id,
        MacAddress: endpoint && formatMac(endpoint.mac),
        IPv4Address: address,
        IPv6Address: endpoint?.address6
          ? `${formatIp(endpoint.address6)}/${network.subnet6?.length}`
          : "",
      },
    ] as const;
  });
  const subnets = sortedByKey([pool, pool6].flatMap((each) => (each ? [statusOf(each)] : [])));
  return {
    ...general(name, id, createdAt, "bridge", pool6 !== undefined),
    IPAM: { Driver: "default", Options: network.isUserDefined ? {} : null, Config: ipam(network) },
    ...kind(internal, spec.attachable ?? false),
    Options: sortedByKey(Object.entries(spec.options ?? {})),
    Labels: sortedByKey(Object.entries(spec.labels ?? {})),
    Containers: sortedByKey(containers),
    Status: { IPAM: { Subnets: subnets } },
  };
}

function inspectSpecial(docker: DockerHost, name: SpecialNetwork): object {
  const containers = [...docker.containers.values()].filter(
    ({ mode, isRunning }) => mode === name && isRunning,
  );
  const rows = containers.map(
    (container) =>
      [
        container.id,
        {
          Name: container.name,
          EndpointID: container.endpointId,
          MacAddress: "",
          IPv4Address: "",
          IPv6Address: "",
        },
      ] as const,
  );
  const driver = name === "none" ? "null" : name;
  return {
    ...general(name, docker.specialNetworkIds[name], docker.startedAt, driver),
    IPAM: { Driver: "default", Options: null, Config: null },
    ...kind(false, false),
    Options: {},
    Labels: {},
    Containers: sortedByKey(rows),
    Status: { IPAM: {} },
  };
}

/** Go's uint64, which holds no more (`Uint64Sat`). */
const MOST = 2n ** 64n - 1n;

function statusOf(
  pool: Pick<AddressPool, "subnet" | "inUse" | "available">,
): readonly [string, object] {
  const available = pool.available < MOST ? pool.available : MOST;
  return [
    String(pool.subnet),
    { IPsInUse: pool.inUse, DynamicIPsAvailable: jsonInteger(available) },
  ];
}

/** A number, or what JSON writes with all its digits. */
function jsonInteger(value: bigint): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): object };
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : rawJSON(String(value));
}

function general(
  name: string,
  id: string,
  createdAt: number,
  driver: string,
  ipv6 = false,
): object {
  return {
    Name: name,
    Id: id,
    Created: goTime(createdAt),
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: ipv6,
  };
}

function kind(internal: boolean, attachable: boolean): object {
  return {
    Internal: internal,
    Attachable: attachable,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
  };
}

function ipam(network: BridgeNetwork): readonly object[] {
  const { subnet, subnet6, spec, gateway, gateway6 } = network;
  const v6 = subnet6 === undefined ? [] : [ipamConfig(subnet6, spec.ipRange6, gateway6)];
  return [ipamConfig(subnet, spec.ipRange, gateway), ...v6];
}

function ipamConfig(
  subnet: Prefix,
  range: Prefix | undefined,
  gateway: IpAddress | undefined,
): object {
  return {
    Subnet: String(subnet),
    ...(range === undefined ? {} : { IPRange: String(range) }),
    ...(gateway === undefined ? {} : { Gateway: formatIp(gateway) }),
  };
}
