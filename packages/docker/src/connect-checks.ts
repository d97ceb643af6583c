import { formatIp } from "@cnilab/net";
import { type BridgeNetwork, networkNamed } from "./bridge-network.ts";
import type { ConnectSpec, Container } from "./container.ts";
import { DockerError } from "./docker-error.ts";

/** Whether a container may join a network so, now or when it starts. @throws DockerError */
export function checkConnect(
  container: Container,
  { network: name, ip, ip6, aliases }: ConnectSpec,
  networks: ReadonlyMap<string, BridgeNetwork>,
): void {
  if (name === "host") {
    throw new DockerError(
      "cannot connect container to host network - container must be created in host network mode",
    );
  }
  if (typeof container.mode === "object" || container.mode === "host") {
    throw new DockerError(
      `container ${container.name}: container sharing network namespace with another container or host cannot be connected to any other network`,
    );
  }
  if (container.mode === "none" || name === "none") {
    throw new DockerError(
      `container ${container.name}: container cannot be connected to multiple networks with one of the networks in private (none) mode`,
    );
  }
  const network = networkNamed(networks, name);
  if (container.joins.has(name)) {
    throw new DockerError(`endpoint with name ${container.name} already exists in network ${name}`);
  }
  const invalid = (text: string) =>
    new DockerError(`container ${container.name}: invalid endpoint settings: ${text}`);
  if (!network.isUserDefined && (ip ?? ip6) !== undefined) {
    throw invalid("user-specified IP address is supported on user-defined networks only");
  }
  if (!network.isUserDefined && (aliases ?? []).length > 0) {
    throw invalid("network-scoped aliases are only supported for user-defined networks");
  }
  if (ip !== undefined && !network.subnet.contains(ip)) {
    throw invalid(
      `no configured subnet contains IP address ${formatIp(ip)}: network ${name} has ${network.subnet}`,
    );
  }
  if (ip6 !== undefined && network.subnet6?.contains(ip6) !== true) {
    throw invalid(
      `no configured subnet contains IP address ${formatIp(ip6)}: network ${name} has ${network.subnet6 ?? "no IPv6"}`,
    );
  }
}
