// What all programs do that stand between two TCP connections.

import type { Payload } from "@cnilab/net";
import { messageOf } from "./conversation.ts";
import type { TcpConnection } from "./tcp.ts";

/** Says on this connection what was heard on another, as long as it is open. */
export function passTo(to: TcpConnection): (data: Payload) => void {
  return (data) => {
    if (to.state === "ESTAB") to.send(data.length, messageOf(data));
  };
}

/** Closes once what is under way now is done with: the goodbye takes its own packets there and back. */
export function hangUp(connection: TcpConnection): void {
  connection.onEnd = undefined;
  connection.netns.network.clock.schedule(0, () => {
    if (connection.state !== "CLOSED") connection.close();
  });
}
