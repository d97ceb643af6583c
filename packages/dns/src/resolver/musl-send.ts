import type { Timer } from "@cnilab/core";
import type { DnsMessage } from "../message/message.ts";
import type { DnsFailure, DnsServerAddress, DnsSocket } from "../transport.ts";
import { optionNumber } from "./resolv-conf.ts";
import { DNS_PORT, type Exchange, type SendContext, type Sender } from "./send.ts";
import type { StepLog } from "./step-log.ts";

/** Defaults and limits of musl's `src/network/resolvconf.c`. */
const TIMEOUT_S = 5;
const MAX_TIMEOUT_S = 60;
const ATTEMPTS = 2;
const MAX_ATTEMPTS = 10;
const MAX_NAMESERVERS = 3;

/** musl's `src/network/res_msend.c` since 1.2.4: all servers at once, the first answer counts, TCP where it was cut. */
export class MuslSender implements Sender {
  readonly #context: SendContext;
  readonly #timeoutMs: number;
  readonly #attempts: number;

  constructor(context: SendContext) {
    const { conf } = context;
    this.#context = context;
    this.#timeoutMs = 1000 * Math.min(optionNumber(conf, "timeout") ?? TIMEOUT_S, MAX_TIMEOUT_S);
    this.#attempts = Math.max(
      Math.min(optionNumber(conf, "attempts") ?? ATTEMPTS, MAX_ATTEMPTS),
      1,
    );
  }

  send(queries: readonly DnsMessage[], log: StepLog, done: (exchange: Exchange) => void): void {
    const { conf, transport, clock } = this.#context;
    const servers = conf.nameservers.slice(0, MAX_NAMESERVERS);
    const answers: (DnsMessage | undefined)[] = queries.map(() => undefined);
    const sockets: DnsSocket[] = [];
    const logged: {
      readonly i: number;
      readonly close: (result: DnsMessage | DnsFailure | "timeout") => void;
    }[] = [];
    const timers: Timer[] = [];
    let retries = 2 * queries.length;
    let servfail = false;
    let ended = false;

    const end = (): void => {
      if (ended) return;
      ended = true;
      for (const timer of timers) timer.cancel();
      for (const socket of sockets) socket.close();
      for (const { close } of logged.splice(0)) close("timeout");
      const failed = answers.every((answer) => answer === undefined);
      done(failed ? { answers, failure: "timeout", servfail } : { answers, servfail });
    };
    const accept = (i: number, answer: DnsMessage): void => {
      answers[i] = answer;
      if (answers.every((each) => each !== undefined)) end();
    };
    const overTcp = (i: number, server: DnsServerAddress): void => {
      const tcp = { ...server, protocol: "tcp" } as const;
      const query = queries[i] as DnsMessage;
      const close = log.sent(query, tcp);
      const socket = transport.open(tcp, (result) => {
        if (ended) return;
        close(result);
        if (typeof result !== "string") accept(i, result);
      });
      sockets.push(socket);
      socket.send(query);
    };
    const receive = (
      server: DnsServerAddress,
      socketOf: () => DnsSocket,
      result: DnsMessage | DnsFailure,
    ): void => {
      // Its socket is not connected, so that nobody tells it of closed ports.
      if (ended || typeof result === "string") return;
      const i = queries.findIndex(
        (query, at) => query.id === result.id && answers[at] === undefined,
      );
      if (i < 0) return;
      const at = logged.findIndex((each) => each.i === i);
      if (at >= 0) logged.splice(at, 1)[0]?.close(result);
      if (result.rcode === "SERVFAIL") {
        servfail = true;
        if (retries-- > 0) ask(i, server, socketOf());
        return;
      }
      if (result.rcode !== "NOERROR" && result.rcode !== "NXDOMAIN") return;
      if (result.flags.tc) overTcp(i, server);
      else accept(i, result);
    };
    const ask = (i: number, server: DnsServerAddress, socket: DnsSocket): void => {
      const query = queries[i] as DnsMessage;
      logged.push({ i, close: log.sent(query, server) });
      socket.send(query);
    };
    const all = servers.map((address) => {
      const server: DnsServerAddress = { address, port: DNS_PORT, protocol: "udp" };
      const socket: DnsSocket = transport.open(server, (result) =>
        receive(server, () => socket, result),
      );
      sockets.push(socket);
      return { server, socket };
    });
    const askAll = (): void => {
      queries.forEach((_, i) => {
        for (const { server, socket } of all) {
          if (!ended && answers[i] === undefined) ask(i, server, socket);
        }
      });
    };
    timers.push(clock.schedule(this.#timeoutMs, end));
    const interval = this.#timeoutMs / this.#attempts;
    for (let turn = 1; turn < this.#attempts; turn++) {
      timers.push(clock.schedule(turn * interval, askAll));
    }
    askAll();
  }
}
