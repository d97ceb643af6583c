import type { Timer } from "@cnilab/core";
import type { DnsMessage } from "../message/message.ts";
import type { DnsFailure, DnsProtocol, DnsServerAddress, DnsSocket } from "../transport.ts";
import { hasOption, optionNumber } from "./resolv-conf.ts";
import { DNS_PORT, type Exchange, type SendContext, type Sender } from "./send.ts";
import type { StepLog } from "./step-log.ts";

/** Defaults and limits of resolv.h: RES_TIMEOUT, RES_MAXRETRANS, RES_DFLRETRY, RES_MAXRETRY, MAXNS. */
const TIMEOUT_S = 5;
const MAX_TIMEOUT_S = 30;
const ATTEMPTS = 2;
const MAX_ATTEMPTS = 5;
const MAX_NAMESERVERS = 3;

type Answer = DnsMessage | undefined;

/** glibc's `resolv/res_send.c`: one server after the other, A and AAAA on one socket. */
export class GlibcSender implements Sender {
  readonly #context: SendContext;
  readonly #timeoutS: number;
  readonly #attempts: number;
  readonly #useTcp: boolean;
  readonly #rotate: boolean;
  /** Whether AAAA waits for the answer to A. The resolver keeps to it once it had to. */
  #single: boolean;
  /** Whether AAAA then goes out from another socket. */
  #reopen: boolean;
  #offset: number;

  constructor(context: SendContext) {
    const { conf, random } = context;
    this.#context = context;
    this.#timeoutS = Math.min(optionNumber(conf, "timeout") ?? TIMEOUT_S, MAX_TIMEOUT_S);
    this.#attempts = Math.min(optionNumber(conf, "attempts") ?? ATTEMPTS, MAX_ATTEMPTS);
    this.#useTcp = hasOption(conf, "use-vc");
    this.#rotate = hasOption(conf, "rotate");
    this.#single = hasOption(conf, "single-request");
    this.#reopen = hasOption(conf, "single-request-reopen");
    if (this.#reopen) this.#single = true;
    this.#offset = this.#rotate ? random.below(MAX_NAMESERVERS) : 0;
  }

  send(queries: readonly DnsMessage[], log: StepLog, done: (exchange: Exchange) => void): void {
    const servers = this.#context.conf.nameservers.slice(0, MAX_NAMESERVERS);
    const offset = this.#rotate ? this.#offset++ : 0;
    const none = queries.map(() => undefined);
    let gotSomewhere = false;
    let servfail = false;
    const next = (turn: number): void => {
      if (turn >= servers.length * this.#attempts) {
        const failure = gotSomewhere ? "timeout" : "refused";
        done({ answers: none, failure, servfail });
        return;
      }
      const number = (turn + offset) % servers.length;
      const address = servers[number] as DnsServerAddress["address"];
      const seconds = this.#timeoutS * 2 ** number;
      const timeoutMs =
        1000 * Math.max(Math.floor(number > 0 ? seconds / servers.length : seconds), 1);
      const attempt = new Attempt(this.#context, queries, log, address, timeoutMs);
      const over = (result: AttemptResult): void => {
        if (result.heard) gotSomewhere = true;
        if (result.servfail) servfail = true;
        if (result.kind === "answered") {
          done({ answers: result.answers });
        } else if (result.kind === "truncated") {
          attempt.run("tcp", false, false, over);
        } else if (result.kind === "one of two") {
          // Broken servers and firewalls, or a lost race for a conntrack entry: ask one after the other from now on.
          if (!this.#single) this.#single = true;
          else if (!this.#reopen) this.#reopen = true;
          else {
            done({ answers: result.answers });
            return;
          }
          attempt.run("udp", this.#single, this.#reopen, over);
        } else {
          next(turn + 1);
        }
      };
      attempt.run(this.#useTcp ? "tcp" : "udp", this.#single, this.#reopen, over);
    };
    next(0);
  }
}

interface AttemptResult {
  readonly kind: "answered" | "one of two" | "truncated" | "failed";
  readonly answers: readonly Answer[];
  /** Whether anything at all came or could have come: a closed port is neither. */
  readonly heard: boolean;
  readonly servfail: boolean;
}

/** One server, asked once. */
class Attempt {
  readonly #context: SendContext;
  readonly #queries: readonly DnsMessage[];
  readonly #log: StepLog;
  readonly #address: DnsServerAddress["address"];
  readonly #timeoutMs: number;

  constructor(
    context: SendContext,
    queries: readonly DnsMessage[],
    log: StepLog,
    address: DnsServerAddress["address"],
    timeoutMs: number,
  ) {
    this.#context = context;
    this.#queries = queries;
    this.#log = log;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
  }

  run(
    protocol: DnsProtocol,
    single: boolean,
    reopen: boolean,
    done: (result: AttemptResult) => void,
  ): void {
    const { transport, clock } = this.#context;
    const server: DnsServerAddress = { address: this.#address, port: DNS_PORT, protocol };
    const queries = this.#queries;
    const answers: Answer[] = queries.map(() => undefined);
    const rejected = queries.map(() => false);
    const logged: (((result: DnsMessage | DnsFailure | "timeout") => void) | undefined)[] = [];
    let socket: DnsSocket | undefined;
    let timer: Timer | undefined;
    let ended = false;
    let sent = 0;
    let servfail = false;

    const end = (
      kind: AttemptResult["kind"],
      heard: boolean,
      rest: DnsFailure | "timeout" = "timeout",
    ): void => {
      if (ended) return;
      ended = true;
      timer?.cancel();
      socket?.close();
      for (const close of logged) close?.(rest);
      done({ kind, answers, heard, servfail });
    };
    const isOver = (i: number): boolean => answers[i] !== undefined || (rejected[i] as boolean);
    const receive = (result: DnsMessage | DnsFailure): void => {
      if (ended) return;
      if (typeof result === "string") {
        end("failed", false, result);
        return;
      }
      const i = queries.findIndex((query, at) => query.id === result.id && !isOver(at));
      if (i < 0) return;
      logged[i]?.(result);
      logged[i] = undefined;
      if (result.flags.tc && protocol === "udp") {
        end("truncated", true);
        return;
      }
      if (["SERVFAIL", "NOTIMP", "REFUSED"].includes(result.rcode)) {
        rejected[i] = true;
        if (result.rcode === "SERVFAIL") servfail = true;
      } else answers[i] = result;
      if (queries.every((_, at) => isOver(at))) {
        end(answers.some((answer) => answer !== undefined) ? "answered" : "failed", true);
      } else if (sent < queries.length) {
        if (reopen) open();
        send();
      }
    };
    const open = (): void => {
      socket?.close();
      socket = transport.open(server, receive);
    };
    const send = (): void => {
      const query = queries[sent] as DnsMessage;
      logged[sent] = this.#log.sent(query, server);
      sent++;
      socket?.send(query);
    };

    timer = clock.schedule(this.#timeoutMs, () => {
      const some = queries.length > 1 && queries.some((_, at) => isOver(at));
      end(some && protocol === "udp" ? "one of two" : "failed", true);
    });
    open();
    send();
    if (!single || protocol === "tcp") while (!ended && sent < queries.length) send();
  }
}
