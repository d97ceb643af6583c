import { DEFAULT_MAP_SIZES, type MapSizes } from "../datapath/node-maps.ts";
import type { AgentConfig } from "../options/agent-config.ts";

/** How large the maps of a node are, as the settings say. */
export function mapSizes({ maps }: AgentConfig): MapSizes {
  const lb = maps.lb;
  return {
    ...DEFAULT_MAP_SIZES,
    ctTcp: maps.ctTcp,
    ctAny: maps.ctAny,
    snat: maps.nat,
    neighbours: maps.neigh,
    policy: maps.policy,
    lb: {
      ...DEFAULT_MAP_SIZES.lb,
      services: lb,
      backends: lb,
      reverseNat: lb,
      affinity: lb,
      sourceRange: lb,
      maglev: lb,
    },
  };
}
