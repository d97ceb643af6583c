import { timestamp } from "@cnilab/core";
import type { ConnectionTarget } from "../mesh/connection-target.ts";
import type { MeshConnection } from "../mesh/mesh-connection.ts";
import type { MeshRouter } from "../mesh/mesh-router.ts";
import { peerText } from "../mesh/peer.ts";
import type { OverlayForwarder } from "../router/network-overlay.ts";

/** A connection that there is, or one that is sought (mesh/status.go LocalConnectionStatus). */
export interface ConnectionStatus {
  readonly Address: string;
  readonly Outbound: boolean;
  readonly State: "established" | "pending" | "waiting" | "failed" | "connecting" | "retrying";
  readonly Info: string;
  /** What the overlay in use says of it. */
  readonly Attrs: Readonly<Record<string, string | number | boolean>> | null;
}

/** @param startedAt of the process, in virtual milliseconds */
export function connectionStatus(
  { connectionMaker: { connections, targets }, password }: MeshRouter,
  startedAt: number,
): readonly ConnectionStatus[] {
  return [
    ...[...connections].map((each) => ofConnection(each, password !== undefined)),
    ...[...targets].flatMap(([address, target]) => ofTarget(address, target, startedAt)),
  ];
}

function ofConnection(connection: MeshConnection, usesPassword: boolean): ConnectionStatus {
  const { address, outbound, isEstablished, isEncrypted, overlayName, remote } = connection;
  // Whatever the overlay, a mesh of weaver's has one that carries frames.
  const mtu = (connection.overlayConnection as OverlayForwarder | undefined)?.mtu;
  const inUse = overlayName !== "none";
  const security = isEncrypted ? "encrypted" : "unencrypted";
  const info = `${overlayName.padEnd(6)} ${peerText(remote)}`;
  return {
    Address: address,
    Outbound: outbound,
    State: isEstablished ? "established" : "pending",
    Info: usesPassword ? `${security.padEnd(11)} ${info}` : info,
    Attrs: inUse
      ? {
          ...(isEncrypted && { encrypted: true }),
          ...(mtu !== undefined && { mtu }),
          name: overlayName,
        }
      : null,
  };
}

function ofTarget(
  address: string,
  { state, lastError, tryAfter }: ConnectionTarget,
  startedAt: number,
): ConnectionStatus[] {
  const told = (State: ConnectionStatus["State"], Info: string): ConnectionStatus[] => [
    { Address: address, Outbound: true, State, Info, Attrs: null },
  ];
  if (state === "waiting") {
    const until = tryAfter === undefined ? "never" : goTime(tryAfter, startedAt);
    return lastError === undefined
      ? told("waiting", `until: ${until}`)
      : told("failed", `${lastError.message}, retry: ${until}`);
  }
  if (state !== "attempting") return [];
  return lastError === undefined ? told("connecting", "") : told("retrying", lastError.message);
}

/** A moment as Go's `time.Time` prints one of its own clock: `2026-01-01 00:00:05.25 +0000 UTC m=+5.250000000`. */
export function goTime(atMs: number, startedAt: number): string {
  const [date, time] = timestamp(atMs).replace("Z", "").split("T");
  const ms = Math.round(atMs * 1e6) % 1e9;
  const fraction = ms === 0 ? "" : `.${String(ms).padStart(9, "0").replace(/0+$/, "")}`;
  const since = atMs - startedAt;
  const monotonic = `${since < 0 ? "-" : "+"}${Math.abs(since / 1000).toFixed(9)}`;
  return `${date} ${time}${fraction} +0000 UTC m=${monotonic}`;
}
