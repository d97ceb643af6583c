import type { Clock } from "@cnilab/core";
import { formatEndpoint } from "@cnilab/net";
import { type DnsMessage, queryOf } from "../message/message.ts";
import { isSubdomain } from "../message/name.ts";
import { onlyUse, type PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Respond } from "../server/request.ts";

/** Seen more often than this, the probe has come back. */
const MOST = 2;
/** How long the plugin looks out for it after the first answer. */
const WATCH_MS = 2000;

/** CoreDNS `plugin/loop`: asks itself for a name that nobody else knows; where that comes back, it ends CoreDNS. */
export const setupLoop: PluginSetup = (uses, { options, zones }) => {
  const use = onlyUse(uses);
  if (use.args.length > 0 || use.properties.length > 0) {
    throw use.error("wrong argument count: it takes no arguments");
  }
  const { random, clock } = options;
  const zone = zones[0] ?? ".";
  const draw = random.fork("loop");
  const probe = `${draw.uint32()}.${draw.uint32()}.${zone === "." ? "" : zone}`;
  return (next) => new Loop(next, { zone, probe, clock, fatal: options.fatal });
};

interface LoopSettings {
  readonly zone: string;
  readonly probe: string;
  readonly clock: Clock;
  readonly fatal: ((text: string) => void) | undefined;
}

class Loop implements Handler {
  readonly #next: Handler;
  readonly #settings: LoopSettings;
  #seen = 0;
  #off = false;

  constructor(next: Handler, settings: LoopSettings) {
    this.#next = next;
    this.#settings = settings;
  }

  /** Sends the probe to the server itself. */
  start(ask: (query: DnsMessage, done: () => void) => void): void {
    const { clock, probe } = this.#settings;
    const end = (): void => {
      this.#off = true;
    };
    ask(queryOf(1, probe, "HINFO"), () => clock.schedule(WATCH_MS, end, { background: true }));
  }

  serve(request: DnsRequest, respond: Respond): void {
    const { zone, probe, fatal } = this.#settings;
    const { name, question, client } = request;
    const mine = !this.#off && question.type === "HINFO" && isSubdomain(zone, name);
    if (mine && name === probe && ++this.#seen > MOST) {
      const from = formatEndpoint(client.address, client.port);
      this.#off = true;
      fatal?.(
        `plugin/loop: Loop (${from}) detected for zone "${zone}": a server that it forwards to sends queries back. Query: "HINFO ${probe}"`,
      );
    }
    // CoreDNS has ended by then: nobody is left to answer.
    if (this.#seen <= MOST) this.#next.serve(request, respond);
  }
}
