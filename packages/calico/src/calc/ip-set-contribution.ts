import { tryParsePrefix } from "@cnilab/net";
import type { ModelEndpointPort } from "../conversion/model.ts";
import { type IpSetDefinition, isPortOf, portProtocol } from "./ip-set-definition.ts";

/** What an endpoint or network set gives to a set whose selector matches it (`felix/labelindex/named_port_index.go` CalculateEndpointContribution). */
export function contribution(
  definition: IpSetDefinition,
  {
    nets,
    ports,
  }: { readonly nets: readonly string[]; readonly ports: readonly ModelEndpointPort[] },
): readonly string[] {
  if (!("namedPort" in definition)) return nets;
  return ports
    .filter(
      ({ name, protocol }) =>
        name === definition.namedPort && isPortOf(definition.protocol, protocol),
    )
    .flatMap(({ protocol, port }) =>
      nets.map((net) => `${net.slice(0, net.indexOf("/"))},${portProtocol(protocol)}:${port}`),
    );
}

/** A network set's ranges; the kernel's sets hold none of length 0, so that there are two halves (extractCIDRsFromNetworkSet). */
export function networkSetNets(nets: readonly string[]): readonly string[] {
  return nets.flatMap((net) => {
    const prefix = tryParsePrefix(net);
    if (prefix?.length !== 0) return [net];
    return prefix.family === 4 ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"];
  });
}
