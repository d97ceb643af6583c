import type { ConnectionStatus } from "./connection-status.ts";
import type { IpamStatus, RouterStatus, WeaveStatus } from "./weave-status.ts";

// As `weave status` prints it: the templates of prog/weaver/http.go.

/** `weave status`. */
export function statusText({ Version, Router, IPAM }: WeaveStatus): string {
  const { ProtocolMinVersion: least, ProtocolMaxVersion: most } = Router;
  const lines = [
    field("Version", `${Version} (version check update disabled)`),
    "",
    field("Service", "router"),
    field("Protocol", `${Router.Protocol} ${least === most ? most : `${least}..${most}`}`),
    field("Name", `${Router.Name}(${Router.NickName})`),
    field("Encryption", onOff(Router.Encryption)),
    field("PeerDiscovery", onOff(Router.PeerDiscovery)),
    field("Targets", String(Router.Targets.length)),
    field("Connections", connectionCounts(Router.Connections)),
    field("Peers", peerCounts(Router)),
    field("TrustedSubnets", listOf(Router.TrustedSubnets)),
    "",
    field("Service", "ipam"),
    field("Status", ipamState(IPAM)),
    field("Range", IPAM.Range),
    field("DefaultSubnet", IPAM.DefaultSubnet),
  ];
  return text(lines);
}

/** `weave status targets`. */
export function targetsText({ Router }: WeaveStatus): string {
  return text(Router.Targets);
}

/** `weave status connections`. */
export function connectionsText({ Router }: WeaveStatus): string {
  return text(
    Router.Connections.map(
      ({ Address, Outbound, State, Info, Attrs }) =>
        `${arrow(Outbound)} ${Address.padEnd(21)} ${State.padEnd(11)} ${Info} ${attributes(Attrs)}`,
    ),
  );
}

/** `weave status peers`: whom each peer has connections to. */
export function peersText({ Router }: WeaveStatus): string {
  return text(
    Router.Peers.flatMap(({ Name, NickName, Connections }) => [
      `${Name}(${NickName})`,
      ...Connections.map((each) => {
        const remote = `${each.Name}(${each.NickName})`;
        const state = each.Established ? "established" : "pending";
        return `   ${arrow(each.Outbound)} ${each.Address.padEnd(21)} ${remote.padEnd(37)} ${state}`;
      }),
    ]),
  );
}

/** `weave status ipam`: who owns how much of the range, the peer itself first. */
export function ipamText({ Router, IPAM }: WeaveStatus): string {
  const owners = new Map<string, { nickname: string; ips: number; isReachable: boolean }>();
  for (const { Peer, Nickname, Size, IsKnownPeer } of IPAM.Entries ?? []) {
    const owner = owners.get(Peer) ?? { nickname: Nickname, ips: 0, isReachable: IsKnownPeer };
    owners.set(Peer, owner);
    owner.ips += Size;
  }
  const line = (name: string, info: string) => {
    const { nickname = "", ips = 0 } = owners.get(name) ?? {};
    // 32 bits of a float, as there.
    const share = Math.fround(Math.fround(ips * 100) / Math.fround(IPAM.RangeNumIPs));
    const percent = share.toFixed(1).padStart(4, "0");
    return `${`${name}(${nickname})`.padEnd(37)} ${String(ips).padStart(8)} IPs (${percent}% of total) ${info}`;
  };
  const own = owners.has(Router.Name) ? [line(Router.Name, `(${IPAM.ActiveIPs} active)`)] : [];
  const others = [...owners].filter(([name]) => name !== Router.Name);
  return text([
    ...own,
    ...others.map(([name, { isReachable }]) => line(name, isReachable ? "" : "- unreachable!")),
  ]);
}

/** The colon is where it is in all lines. */
function field(name: string, value: string): string {
  return `${name.padStart(15)}: ${value}`;
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function onOff(enabled: boolean): string {
  return enabled ? "enabled" : "disabled";
}

function arrow(outbound: boolean): string {
  return outbound ? "->" : "<-";
}

function listOf(items: readonly string[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}

/** One behind the other by name, with nothing between them. */
function attributes(attrs: ConnectionStatus["Attrs"]): string {
  return Object.entries(attrs ?? {})
    .filter(([key]) => key !== "name")
    .sort(([x], [y]) => (x < y ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join("");
}

const STATES = ["established", "pending", "retrying", "failed", "connecting"];

function counts(states: readonly string[]): string {
  return STATES.map((state) => [state, states.filter((each) => each === state).length] as const)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");
}

function connectionCounts(connections: readonly ConnectionStatus[]): string {
  const states = counts(connections.map(({ State }) => State));
  return `${connections.length}${states === "" ? "" : ` (${states})`}`;
}

function peerCounts({ Peers }: RouterStatus): string {
  const states = Peers.flatMap(({ Connections }) =>
    Connections.map(({ Established }) => (Established ? "established" : "pending")),
  );
  const counted = counts(states);
  return `${Peers.length}${counted === "" ? "" : ` (with ${counted} connections)`}`;
}

function ipamState({ Entries, Paxos, PendingAllocates }: IpamStatus): string {
  if (Entries !== null) {
    if (!Entries.some(({ Size, IsKnownPeer }) => Size > 0 && IsKnownPeer)) {
      return "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead";
    }
    return PendingAllocates === null ? "ready" : "waiting for IP(s) to become available";
  }
  if (Paxos === null) return "idle";
  if (!Paxos.Elector) return "priming";
  return `awaiting consensus (quorum: ${Paxos.Quorum}, known: ${Paxos.KnownNodes})`;
}
