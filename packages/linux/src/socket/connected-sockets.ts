import type { IpAddress } from "@cnilab/net";

/** What tells the sockets of one port apart. */
export interface ConnectedSocket {
  readonly localAddress: IpAddress;
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
}

/** The four numbers of a connection (`inet_lookup_established`), as the local end has them. */
type Ends = ConnectedSocket;

/** Sockets of one protocol that have a peer: a server's port has thousands, found by the peer's address. */
export class ConnectedSockets<S extends ConnectedSocket> {
  /** Most ports have one: those that were picked to connect from. `undefined` while there are none. */
  #byPort: Map<number, S | Map<IpAddress, readonly S[]>> | undefined = undefined;

  add(socket: S): void {
    this.#byPort ??= new Map();
    const { localPort, remoteAddress } = socket;
    let there = this.#byPort.get(localPort);
    if (there === undefined) {
      this.#byPort.set(localPort, socket);
      return;
    }
    if (!(there instanceof Map)) {
      there = new Map([[there.remoteAddress, [there]]]);
      this.#byPort.set(localPort, there);
    }
    const ofPeer = there.get(remoteAddress);
    there.set(remoteAddress, ofPeer === undefined ? [socket] : [...ofPeer, socket]);
  }

  remove(socket: S): void {
    const { localPort, remoteAddress } = socket;
    const there = this.#byPort?.get(localPort);
    if (there instanceof Map) {
      const left = there.get(remoteAddress)?.filter((s) => s !== socket) ?? [];
      if (left.length > 0) there.set(remoteAddress, left);
      else there.delete(remoteAddress);
      if (there.size > 0) return;
    } else if (there !== socket) return;
    this.#byPort?.delete(localPort);
    if (this.#byPort?.size === 0) this.#byPort = undefined;
  }

  find({ localAddress, localPort, remoteAddress, remotePort }: Ends): S | undefined {
    const there = this.#byPort?.get(localPort);
    if (there === undefined) return undefined;
    const isMeant = (s: S) =>
      s.remotePort === remotePort &&
      s.remoteAddress === remoteAddress &&
      s.localAddress === localAddress;
    if (there instanceof Map) return there.get(remoteAddress)?.find(isMeant);
    return isMeant(there) ? there : undefined;
  }

  /** Whether somebody has the port. */
  has(localPort: number): boolean {
    return this.#byPort?.has(localPort) === true;
  }

  *all(): Iterable<S> {
    for (const there of this.#byPort?.values() ?? []) {
      if (!(there instanceof Map)) yield there;
      else for (const sockets of there.values()) yield* sockets;
    }
  }
}
