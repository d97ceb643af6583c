import { type Random, SeededRandom } from "@cnilab/core";
import { parseIp, parsePrefix } from "@cnilab/net";
import {
  ACCEPT,
  type Filter,
  type FilterStatement,
  PEER_DEFAULTS,
  type PeerConfig,
  REJECT,
  type SpeakerConfig,
} from "../../src/index.ts";

const BASE_AS = 64512;
/** Networks that several speakers may offer at once. */
const PREFIXES = [
  "172.20.1.0/24",
  "172.20.2.0/24",
  "172.20.2.128/25",
  "172.20.3.0/24",
  "172.21.0.0/16",
].map(parsePrefix);

/** A network of speakers on one Ethernet: ASes, reflectors, filters, prefixes that several offer. */
export function generate(seed: number): SpeakerConfig[] {
  const random = new SeededRandom(seed);
  const count = 3 + random.below(4);
  const hosts = Array.from({ length: count }, (_, i) => i + 1);
  const ases = hosts.map(() => BASE_AS + random.below(3));
  const clusterIds = hosts.map(() => parseIp(`1.0.0.${1 + random.below(2)}`) as number);
  const isReflector = hosts.map(() => random.below(3) === 0);
  const addPaths = random.below(2) === 0;
  const peers: PeerConfig[][] = hosts.map(() => []);
  for (const x of hosts) {
    for (const y of hosts) {
      if (y <= x || random.below(10) < 3) continue;
      for (const [own, other] of [
        [x, y],
        [y, x],
      ] as const) {
        const reflects =
          isReflector[own - 1] && !isReflector[other - 1] && ases[own - 1] === ases[other - 1];
        peers[own - 1]?.push({
          ...PEER_DEFAULTS,
          name: `p${other}`,
          neighbor: parseIp(`10.0.0.${other}`),
          remoteAs: ases[other - 1] as number,
          localAs: ases[own - 1] as number,
          sourceAddress: parseIp(`10.0.0.${own}`),
          passive: own < other,
          addPaths,
          rrClient: reflects === true,
          rrClusterId: isReflector[own - 1] ? clusterIds[own - 1] : undefined,
          nextHopSelf: random.below(4) === 0,
          nextHopKeep: random.below(6) === 0,
          importFilter: filter(random, "import"),
          exportFilter: filter(random, "export"),
        });
      }
    }
  }
  return hosts.map((host) => ({
    release: "2.0",
    family: 4,
    routerId: parseIp(`10.0.1.${(host * 7) % 10}`) as number,
    listen: { port: 179 },
    statics: [
      { prefix: parsePrefix(`10.244.${host}.0/26`) },
      ...PREFIXES.filter(() => random.below(3) === 0).map((prefix) =>
        random.below(4) === 0 ? { prefix, via: parseIp("10.0.0.100") } : { prefix },
      ),
    ],
    directInterfaces: ["eth0"],
    kernel: {
      exportFilter: [
        {
          do: "if",
          condition: { is: "net-in", prefix: parsePrefix("10.0.0.0/24") },
          block: [REJECT],
        },
        ...(random.below(2) === 0
          ? [{ do: "set", number: "krt_metric", value: 1024 } as const]
          : []),
        ACCEPT,
      ],
      mergePaths: random.below(2) === 0,
    },
    peers: peers[host - 1] as PeerConfig[],
  }));
}

/** Nobody tells of the Ethernet itself: each has it. */
function filter(random: Random, direction: "import" | "export"): Filter {
  const statements: FilterStatement[] = [];
  if (direction === "export") {
    statements.push({ do: "if", condition: { is: "source", source: "device" }, block: [REJECT] });
  }
  for (let left = random.below(3); left > 0; left--) {
    const prefix = PREFIXES[random.below(PREFIXES.length)] ?? parsePrefix("0.0.0.0/0");
    const block: FilterStatement[] = [change(random)];
    if (random.below(6) === 0) block.push(REJECT);
    const condition =
      random.below(2) === 0
        ? ({ is: "net-in", prefix } as const)
        : ({ is: "net-equal", prefix } as const);
    statements.push({ do: "if", condition, block });
  }
  return [...statements, ACCEPT];
}

function change(random: Random): FilterStatement {
  switch (random.below(6)) {
    case 0:
      return { do: "set", number: "bgp_local_pref", value: 90 + random.below(30) };
    case 1:
      return {
        do: "add-community",
        community: (BASE_AS + random.below(2)) * 65536 + random.below(9),
      };
    case 2:
      return { do: "add-community", community: [BASE_AS, random.below(9), 1] };
    case 3:
      return { do: "prepend", as: 65000 + random.below(3) };
    case 4:
      return { do: "set", number: "bgp_med", value: 5 };
    default:
      return { do: "set", number: "bgp_local_pref", value: 100 };
  }
}
