import { formatIp, formatMac } from "@cnilab/net";
import type { Allocator } from "../ipam/allocator.ts";
import { entryAt } from "../ipam/ring-entry.ts";
import type { MeshRouter } from "../mesh/mesh-router.ts";
import { PROTOCOL_VERSIONS } from "../mesh/protocol.ts";
import { RELEASE } from "../release.ts";
import type { NetworkRouter } from "../router/network-router.ts";
import { type ConnectionStatus, connectionStatus, goTime } from "./connection-status.ts";

/** What `weave report` writes, with its names (prog/weaver/http.go WeaveStatus). */
export interface WeaveStatus {
  readonly Ready: boolean;
  readonly Version: string;
  /** Nobody asks whether there is a later version. */
  readonly VersionCheck: {
    readonly Enabled: false;
    readonly Success: false;
    readonly NewVersion: "";
  };
  readonly Router: RouterStatus;
  readonly IPAM: IpamStatus;
}

/** mesh/status.go Status, and router/network_router_status.go. */
export interface RouterStatus {
  readonly Protocol: "weave";
  readonly ProtocolMinVersion: number;
  readonly ProtocolMaxVersion: number;
  readonly Encryption: boolean;
  readonly PeerDiscovery: boolean;
  readonly Name: string;
  readonly NickName: string;
  readonly Port: number;
  readonly Peers: readonly PeerStatus[];
  readonly UnicastRoutes: readonly { readonly Dest: string; readonly Via: string }[];
  readonly BroadcastRoutes: readonly { readonly Source: string; readonly Via: readonly string[] }[];
  readonly Connections: readonly ConnectionStatus[];
  readonly TerminationCount: number;
  /** Whom it was told to seek, as it was told. */
  readonly Targets: readonly string[];
  readonly OverlayDiagnostics: unknown;
  readonly TrustedSubnets: readonly string[];
  /** How it is on the node's bridge. */
  readonly Interface: string;
  readonly CaptureStats: Readonly<Record<string, number>>;
  readonly MACs: readonly {
    readonly Mac: string;
    readonly Name: string;
    readonly NickName: string;
    readonly LastSeen: string;
  }[];
}

export interface PeerStatus {
  readonly Name: string;
  readonly NickName: string;
  readonly UID: number;
  readonly ShortID: number;
  readonly Version: number;
  readonly Connections: readonly {
    readonly Name: string;
    readonly NickName: string;
    readonly Address: string;
    readonly Outbound: boolean;
    readonly Established: boolean;
  }[];
}

/** ipam/status.go Status. */
export interface IpamStatus {
  /** While the first ring is waited for. */
  readonly Paxos: PaxosStatus | null;
  readonly Range: string;
  readonly RangeNumIPs: number;
  readonly ActiveIPs: number;
  readonly DefaultSubnet: string;
  readonly Entries: readonly IpamEntryStatus[] | null;
  readonly PendingClaims: readonly { readonly Ident: string; readonly CIDR: string }[] | null;
  readonly PendingAllocates: readonly string[] | null;
}

export interface PaxosStatus {
  readonly Elector: boolean;
  readonly KnownNodes: number;
  readonly Quorum: number;
}

export interface IpamEntryStatus {
  readonly Token: string;
  readonly Size: number;
  readonly Peer: string;
  readonly Nickname: string;
  readonly IsKnownPeer: boolean;
  readonly Version: number;
}

/** A weaver, as far as its status goes. */
export interface StatusSource {
  readonly router: MeshRouter;
  readonly network: Pick<NetworkRouter, "macs" | "overlay" | "injectorConsumer">;
  readonly allocator: Allocator;
  /** When the process began, in virtual milliseconds. */
  readonly startedAt: number;
}

export function weaveStatus(source: StatusSource): WeaveStatus {
  return {
    Ready: true,
    Version: RELEASE,
    VersionCheck: { Enabled: false, Success: false, NewVersion: "" },
    Router: routerStatus(source),
    IPAM: ipamStatus(source.allocator, source.router),
  };
}

function routerStatus({ router, network, startedAt }: StatusSource): RouterStatus {
  const { peers, routes, connectionMaker } = router;
  const { ourself } = peers;
  const nicknameOf = (name: string) => peers.get(name)?.nickname ?? "";
  const [least, most] = PROTOCOL_VERSIONS;
  return {
    Protocol: "weave",
    ProtocolMinVersion: least,
    ProtocolMaxVersion: most,
    Encryption: router.password !== undefined,
    PeerDiscovery: router.discovery,
    Name: ourself.name,
    NickName: ourself.nickname,
    Port: router.port,
    Peers: [...peers.all()].map(({ name, nickname, uid, shortId = 0, version, connections }) => ({
      Name: name,
      NickName: nickname,
      UID: uid,
      ShortID: shortId,
      Version: version,
      Connections: [...connections].map(([remote, { address, outbound, established }]) => ({
        Name: remote,
        NickName: nicknameOf(remote),
        Address: address,
        Outbound: outbound,
        Established: established,
      })),
    })),
    UnicastRoutes: [...routes.unicast("established")].map(([Dest, via]) => ({
      Dest,
      // What is ourselves is nobody's.
      Via: via ?? "00:00:00:00:00:00",
    })),
    BroadcastRoutes: [...peers.names()].map((Source) => ({
      Source,
      Via: routes.broadcast(Source, "established"),
    })),
    Connections: connectionStatus(router, startedAt),
    TerminationCount: connectionMaker.terminations,
    Targets: [...connectionMaker.directPeers],
    OverlayDiagnostics: network.overlay.diagnostics(),
    TrustedSubnets: router.trustedSubnets.map(String),
    Interface: String(network.injectorConsumer),
    CaptureStats: network.injectorConsumer.stats(),
    MACs: [...network.macs.entries()].map(([mac, { peer, lastSeen }]) => ({
      Mac: formatMac(mac),
      Name: peer,
      NickName: nicknameOf(peer),
      LastSeen: goTime(lastSeen, startedAt),
    })),
  };
}

function ipamStatus(allocator: Allocator, { peers }: MeshRouter): IpamStatus {
  const { universe, ring, space, nicknames, consensus, pending } = allocator;
  const { entries } = ring;
  const size = Number(universe.size);
  const lengthOf = (i: number) => {
    const length = entryAt(entries, i + 1).token - entryAt(entries, i).token;
    return length > 0 ? length : length + size;
  };
  const orNull = <T>(list: readonly T[]) => (list.length === 0 ? null : list);
  return {
    Paxos: consensus.waiting
      ? {
          Elector: consensus.quorum > 0,
          KnownNodes: consensus.knownNodes,
          Quorum: consensus.quorum,
        }
      : null,
    Range: String(universe),
    RangeNumIPs: size,
    ActiveIPs: space.ownedCount(),
    DefaultSubnet: String(universe),
    Entries: orNull(
      entries.map(({ token, peer, version }, i) => ({
        Token: formatIp(token),
        Size: lengthOf(i),
        Peer: peer,
        Nickname: nicknames.get(peer) ?? "",
        IsKnownPeer: peers.get(peer) !== undefined,
        Version: version,
      })),
    ),
    PendingClaims: orNull(
      pending.claims.map(({ ident, subject }) => ({ Ident: ident, CIDR: subject })),
    ),
    PendingAllocates: orNull(
      pending.allocations.map(({ ident, subject }) => `${ident} ${subject}`),
    ),
  };
}
