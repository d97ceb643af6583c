import { formatIp, formatMac } from "@cnilab/net";
import type { BridgeNetwork } from "../bridge-network.ts";
import type { DockerHost, SpecialNetwork } from "../docker-host.ts";
import { sortedByKey } from "./docker-table.ts";
import { goTime } from "./go-time.ts";

/** A network as `docker network inspect` shows it: fields in the API's order (api/types/network, version 1.52 and later). @throws DockerError */
export function inspectNetwork(docker: DockerHost, name: string): object {
  if (name === "host" || name === "none") return inspectSpecial(docker, name);
  const network = docker.network(name);
  const { id, createdAt, spec, internal, pool } = network;
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
        IPv6Address: "",
      },
    ] as const;
  });
  const subnets = {
    [String(network.subnet)]: {
      IPsInUse: pool.inUse,
      DynamicIPsAvailable: pool.available,
    },
  };
  return {
    ...general(name, id, createdAt, "bridge"),
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

function general(name: string, id: string, createdAt: number, driver: string): object {
  return {
    Name: name,
    Id: id,
    Created: goTime(createdAt),
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: false,
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

function ipam({ subnet, spec, gateway }: BridgeNetwork): readonly object[] {
  return [
    {
      Subnet: String(subnet),
      ...(spec.ipRange === undefined ? {} : { IPRange: String(spec.ipRange) }),
      ...(gateway === undefined ? {} : { Gateway: formatIp(gateway) }),
    },
  ];
}
