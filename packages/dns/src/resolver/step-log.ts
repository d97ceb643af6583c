import type { Clock } from "@cnilab/core";
import type { DnsMessage } from "../message/message.ts";
import type { DnsFailure, DnsServerAddress } from "../transport.ts";
import type { ResolverStep } from "./resolver-types.ts";

/** Keeps what was asked, in order of sending. */
export class StepLog {
  readonly #clock: Clock;
  readonly #steps: (ResolverStep | { readonly open: Omit<ResolverStep, "endedAt" | "outcome"> })[] =
    [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A query goes out. @returns to be called once, when it is over */
  sent(
    query: DnsMessage,
    server: DnsServerAddress,
  ): (result: DnsMessage | DnsFailure | "timeout") => void {
    const { name = ".", type = "A" } = query.question[0] ?? {};
    const open = {
      name,
      type,
      server: server.address,
      protocol: server.protocol,
      sentAt: this.#clock.now,
    };
    const at = this.#steps.push({ open }) - 1;
    return (result) => {
      const ended = { ...open, endedAt: this.#clock.now };
      this.#steps[at] =
        typeof result === "string"
          ? { ...ended, outcome: result }
          : { ...ended, outcome: result.rcode, answer: result };
    };
  }

  /** What was never answered counts as timed out by now. */
  get steps(): ResolverStep[] {
    return this.#steps.map((step) =>
      "open" in step ? { ...step.open, endedAt: this.#clock.now, outcome: "timeout" } : step,
    );
  }
}
