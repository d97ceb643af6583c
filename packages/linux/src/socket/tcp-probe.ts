import type { IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { TcpConnection } from "./tcp.ts";

export interface TcpProbeOptions {
  readonly dst: IpAddress;
  readonly port: number;
  readonly owner: string;
  /** Virtual milliseconds after which the client gives up. */
  readonly timeoutMs: number;
  /** Whether nobody who waits for the world to be quiet waits for this. */
  readonly background?: boolean;
}

/**
 * Opens a connection and closes it again, and tells `done` once whether it came about. As `httpGet` it does not turn the clock:
 * where the packets take their time, `done` comes later.
 */
export function tcpProbe(
  netns: NetNamespace,
  options: TcpProbeOptions,
  done: (connected: boolean) => void,
): void {
  const { dst, port, owner, timeoutMs, background = false } = options;
  const connection = TcpConnection.connect(netns, { dst, port, owner });
  if ("errno" in connection) {
    done(false);
    return;
  }
  let waiting = true;
  const finish = () => {
    if (!waiting) return;
    waiting = false;
    timer.cancel();
    const connected = connection.state === "ESTAB";
    if (connected) netns.network.clock.schedule(0, () => connection.close());
    else connection.abandon();
    done(connected);
  };
  const timer = netns.network.clock.schedule(timeoutMs, finish, { background });
  if (connection.state === "SYN-SENT") connection.onEstablished = finish;
  else finish();
}
