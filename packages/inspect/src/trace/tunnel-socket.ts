import { type TraceStep, UdpSocket } from "@cnilab/linux";

/** Whether a packet was taken by a tunnel that carries others in it, be it a device's or a program's, rather than by somebody it is for. */
export function isTunnelSocket(step: TraceStep): boolean {
  if (step.kind !== "deliver" || step.socket === undefined) return false;
  const { socket } = step;
  return socket.owner.startsWith("kernel ") || (socket instanceof UdpSocket && !socket.isEndpoint);
}
