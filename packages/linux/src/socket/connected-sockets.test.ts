import fc from "fast-check";
import { expect, test } from "vitest";
import { type ConnectedSocket, ConnectedSockets } from "./connected-sockets.ts";

const socket = fc.record({
  localAddress: fc.constantFrom(1, 2),
  localPort: fc.constantFrom(179, 40000, 40001),
  remoteAddress: fc.constantFrom(3, 4, 5),
  remotePort: fc.constantFrom(179, 50000),
});

const same = (x: ConnectedSocket, y: ConnectedSocket) =>
  x.localAddress === y.localAddress &&
  x.localPort === y.localPort &&
  x.remoteAddress === y.remoteAddress &&
  x.remotePort === y.remotePort;

test("finds what a list of all would find", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(socket, fc.boolean())), socket, (steps, wanted) => {
      const sockets = new ConnectedSockets<ConnectedSocket>();
      let list: ConnectedSocket[] = [];
      for (const [ends, isGone] of steps) {
        const there = list.find((s) => same(s, ends));
        if (isGone && there !== undefined) {
          sockets.remove(there);
          list = list.filter((s) => s !== there);
        } else if (!isGone && there === undefined) {
          sockets.add(ends);
          list.push(ends);
        }
        sockets.remove({ ...ends });
      }
      expect(new Set(sockets.all())).toEqual(new Set(list));
      expect([...sockets.all()]).toHaveLength(list.length);
      expect(sockets.find(wanted)).toBe(list.find((s) => same(s, wanted)));
      expect(sockets.has(wanted.localPort)).toBe(
        list.some((s) => s.localPort === wanted.localPort),
      );
    }),
  );
});
