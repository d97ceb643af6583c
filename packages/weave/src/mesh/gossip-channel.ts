import type { GossipData, Gossiper, GossipPayload } from "./gossiper.ts";
import type { MeshConnection } from "./mesh-connection.ts";
import type { MeshRoutes } from "./mesh-routes.ts";
import type { PeerName } from "./peer-name.ts";
import type { ProtocolContent } from "./protocol.ts";

/** The mesh, as a channel uses it. */
export interface ChannelMesh {
  readonly ourself: PeerName;
  readonly routes: MeshRoutes;
  connectionTo(peer: PeerName): MeshConnection | undefined;
}

/** One conversation of all peers, over whatever connections there are (mesh/gossip_channel.go). */
export class GossipChannel {
  readonly name: string;
  readonly gossiper: Gossiper;
  readonly #mesh: ChannelMesh;

  constructor(name: string, gossiper: Gossiper, mesh: ChannelMesh) {
    this.name = name;
    this.gossiper = gossiper;
    this.#mesh = mesh;
  }

  /** @returns whether there is a way to that peer */
  unicast(destination: PeerName, payload: GossipPayload): boolean {
    const { ourself } = this.#mesh;
    return this.#relayUnicast({
      kind: "unicast",
      channel: this.name,
      source: ourself,
      destination,
      payload,
    });
  }

  /** To all, along the routes from here. */
  broadcast(data: GossipData): void {
    this.#relayBroadcast(this.#mesh.ourself, data);
  }

  /** To some neighbours; they tell on what is new to them. */
  send(data: GossipData): void {
    this.#relay(this.#mesh.ourself, data);
  }

  sendDown(connection: MeshConnection, data: GossipData): void {
    connection.sender(this.name).send(data);
  }

  /** @throws Error that ends the connection which it came by */
  deliver(content: Extract<ProtocolContent, { readonly channel: string }>): void {
    const { source, payload } = content;
    switch (content.kind) {
      case "unicast":
        if (content.destination === this.#mesh.ourself) this.gossiper.onUnicast(source, payload);
        else this.#relayUnicast(content);
        return;
      case "broadcast": {
        const data = this.gossiper.onBroadcast(source, payload);
        if (data !== undefined) this.#relayBroadcast(source, data);
        return;
      }
      case "gossip": {
        const news = this.gossiper.onGossip(payload);
        if (news !== undefined) this.#relay(source, news);
      }
    }
  }

  #relayUnicast(content: Extract<ProtocolContent, { readonly kind: "unicast" }>): boolean {
    const hop = this.#mesh.routes.unicast("all").get(content.destination);
    const connection = hop === undefined ? undefined : this.#mesh.connectionTo(hop);
    connection?.say(content);
    return connection !== undefined;
  }

  #relayBroadcast(source: PeerName, data: GossipData): void {
    const { routes } = this.#mesh;
    routes.whenRecalculated(() => {
      for (const hop of routes.broadcast(source, "all")) {
        this.#mesh.connectionTo(hop)?.sender(this.name).broadcast(source, data);
      }
    });
  }

  #relay(source: PeerName, data: GossipData): void {
    const { routes } = this.#mesh;
    routes.whenRecalculated(() => {
      for (const hop of routes.randomNeighbours(source)) {
        this.#mesh.connectionTo(hop)?.sender(this.name).send(data);
      }
    });
  }
}
