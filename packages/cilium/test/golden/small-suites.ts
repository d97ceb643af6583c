import { identityRange } from "../../src/identity/numeric-identity.ts";
import { type MtuFeatures, routeMtu } from "../../src/mtu.ts";
import { endpointInterfaceName, temporaryInterfaceName } from "../../src/names/interface-names.ts";
import {
  fqdnExpression,
  patternExpression,
  sanitizePattern,
} from "../../src/policy/match-pattern.ts";
import { maskedPorts } from "../../src/policy/port-range.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

export const identityRanges: GoldenRun<unknown, { readonly clusterID: number }> = ({
  case: given,
}) => {
  const { least, most } = identityRange(given.clusterID);
  return difference({ ...given }, { min: least, max: most });
};

interface PortRangeCase {
  readonly start: number;
  readonly end: number;
}

export const portRanges: GoldenRun<unknown, PortRangeCase> = ({ case: given }) =>
  difference(
    { ...given },
    { masked: maskedPorts(given.start, given.end).map(({ port, mask }) => ({ mask, port })) },
  );

export const ifnames: GoldenRun<unknown, { readonly input: string }> = ({ case: given }) =>
  difference(
    { ...given },
    {
      ifName: endpointInterfaceName(given.input),
      tempIfName: temporaryInterfaceName(given.input),
    },
  );

interface MtuCase {
  readonly baseMTU: number;
  readonly encap: boolean;
  readonly ipsec: boolean;
  readonly wireguard: boolean;
  readonly tunnelOverIPv6: boolean;
}

export const mtu: GoldenRun<unknown, MtuCase> = ({ case: given }) => {
  const features: MtuFeatures = {
    encapsulation: given.encap,
    tunnelOverIpv6: given.tunnelOverIPv6,
    wireguard: given.wireguard,
    ...(given.ipsec && { ipsecKeyLength: 16 }),
  };
  const { device, route, routePostEncrypt } = routeMtu(given.baseMTU, features);
  return difference(
    { ...given },
    { deviceMTU: device, routeMTU: route, routePostEncryptMTU: routePostEncrypt },
  );
};

interface PatternCase {
  readonly pattern: string;
  readonly matches: Readonly<Record<string, boolean>>;
}

export const fqdnPatterns: GoldenRun<unknown, PatternCase> = ({ case: given }) => {
  const sanitized = sanitizePattern(given.pattern);
  const expression = fqdnExpression({ matchPattern: given.pattern });
  return difference(
    { ...given },
    {
      sanitized,
      regex: patternExpression(sanitized),
      matches: Object.fromEntries(
        Object.keys(given.matches).map((name) => [name, expression.test(name)]),
      ),
    },
  );
};
