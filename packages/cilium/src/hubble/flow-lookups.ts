import type { IpAddress } from "@cnilab/net";
import type { FlowEndpoint, FlowService } from "./flow.ts";

/** What an agent knows beyond what is in a packet. */
export interface FlowLookups {
  /** Who has an address. @param identity what the program took it for; 0 where it did not say */
  endpoint(address: IpAddress, identity: number, node: string): FlowEndpoint;
  /** Which Service has this frontend. */
  service(address: IpAddress, port: number): FlowService | undefined;
  /** Names under which the endpoint asked DNS for an address. */
  names(endpoint: FlowEndpoint, address: IpAddress): readonly string[];
  /** An identifier that no flow has had. */
  uuid(): string;
}
