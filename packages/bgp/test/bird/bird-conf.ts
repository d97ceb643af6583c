import { formatIp } from "@cnilab/net";
import { filterText, type PeerConfig, type SpeakerConfig } from "../../src/index.ts";

/** The configuration as BIRD 2 reads it. */
export function birdConf(config: SpeakerConfig): string {
  const { kernel } = config;
  const lines = [
    "log stderr all;",
    `router id ${formatIp(config.routerId)};`,
    "protocol device { scan time 1; }",
    `protocol direct direct1 { ipv4; interface ${config.directInterfaces.map((p) => (p.startsWith("-") ? `-"${p.slice(1)}"` : `"${p}"`)).join(", ")}; }`,
    "protocol static static1 {",
    "  ipv4;",
    ...config.statics.map(
      ({ prefix, via }) =>
        `  route ${prefix} ${via === undefined ? "blackhole" : `via ${formatIp(via)}`};`,
    ),
    "}",
  ];
  if (kernel !== undefined) {
    lines.push(
      "protocol kernel kernel1 {",
      "  learn; persist; scan time 1; metric 0;",
      ...(kernel.mergePaths ? ["  merge paths on;"] : []),
      "  ipv4 {",
      "    import all;",
      "    export filter {",
      ...filterText(kernel.exportFilter, "      "),
      "    };",
      "  };",
      "}",
    );
  }
  return [...lines, ...config.peers.flatMap(peerConf)].join("\n");
}

function peerConf(peer: PeerConfig): string[] {
  const flags = [
    peer.passive ? "passive on" : undefined,
    peer.rrClient ? "rr client" : undefined,
    peer.rrClusterId === undefined ? undefined : `rr cluster id ${formatIp(peer.rrClusterId)}`,
    peer.allowLocalAs > 0 ? `allow local as ${peer.allowLocalAs}` : undefined,
    peer.gracefulRestartTime === undefined
      ? "graceful restart off"
      : `graceful restart; graceful restart time ${peer.gracefulRestartTime}`,
  ].flatMap((flag) => (flag === undefined ? [] : [`  ${flag};`]));
  return [
    `protocol bgp ${peer.name} {`,
    `  local ${peer.sourceAddress === undefined ? "" : formatIp(peer.sourceAddress)} as ${peer.localAs};`,
    `  neighbor ${formatIp(peer.neighbor)} as ${peer.remoteAs};`,
    "  multihop; connect delay time 1; connect retry time 2; error wait time 1,2;",
    ...flags,
    "  ipv4 {",
    "    gateway recursive;",
    ...(peer.addPaths ? ["    add paths on;"] : []),
    ...(peer.nextHopSelf ? ["    next hop self;"] : []),
    ...(peer.nextHopKeep ? ["    next hop keep;"] : []),
    "    import filter {",
    ...filterText(peer.importFilter, "      "),
    "    };",
    "    export filter {",
    ...filterText(peer.exportFilter, "      "),
    "    };",
    "  };",
    "}",
  ];
}
