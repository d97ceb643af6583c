import { IP_VS_DIR_OUTPUT, type IpVsDirection, type IpVsProtocol } from "./ip-vs-protocol.ts";

/** UDP: one state, which never counts as active (net/netfilter/ipvs/ip_vs_proto_udp.c). */
export class IpVsUdp implements IpVsProtocol {
  readonly name = "UDP";
  readonly timeouts: number[] = [300_000];
  readonly stateNames: readonly string[] = ["UDP"];

  begins(): boolean {
    return true;
  }

  beginsAnew(): boolean {
    return false;
  }

  isOver(): boolean {
    return false;
  }

  nextState(): number {
    return 0;
  }

  isActive(): boolean {
    return false;
  }

  assures(_state: number, direction: IpVsDirection): boolean {
    return direction === IP_VS_DIR_OUTPUT;
  }
}
