import type { IpAddress, IpFamily } from "@cnilab/net";
import type { Container, Endpoint } from "../container.ts";
import type { KnownNames } from "./embedded-resolver.ts";

/** What a container knows of the networks that it is on, and of no other (libnetwork sandbox.go). */
export class ContainerNames implements KnownNames {
  readonly #container: Container;

  constructor(container: Container) {
    this.#container = container;
  }

  get hasExternalAccess(): boolean {
    return this.#container.endpoints.some(
      ({ network }) => !network.internal && network.gateway !== undefined,
    );
  }

  /** `web` on any network, `web.front` on the network front; names of networks may have dots, too (`ResolveName`). */
  addressesOf(asked: string, family: IpFamily): readonly IpAddress[] | undefined {
    const whole = asked.replace(/\.$/, "");
    for (let end = whole.length; end > 0; end = whole.lastIndexOf(".", end - 1)) {
      const name = whole.slice(0, end);
      const network = end === whole.length ? undefined : whole.slice(end + 1);
      const found = this.#inNetworks(name, network, family);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  nameOf(address: IpAddress): string | undefined {
    for (const { network } of this.#container.endpointsByPriority) {
      const name = network.names.nameOf(address);
      if (name !== undefined) return `${name}.${network.name}`;
    }
    return undefined;
  }

  /** What this container calls others comes before what they are called; on its network, an alias hides a name. */
  #inNetworks(
    name: string,
    networkName: string | undefined,
    family: IpFamily,
  ): readonly IpAddress[] | undefined {
    const endpoints = this.#container.endpointsByPriority.filter(
      ({ network }) => networkName === undefined || network.name === networkName,
    );
    const linked = (endpoint: Endpoint) => endpoint.links.get(name);
    for (const endpoint of endpoints) {
      const target = linked(endpoint);
      if (target === undefined) continue;
      const found = endpoint.network.names.addressesOf(target, family);
      if (found !== undefined) return found;
    }
    for (const endpoint of endpoints) {
      if (linked(endpoint) !== undefined) continue;
      const found = endpoint.network.names.addressesOf(name, family);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
