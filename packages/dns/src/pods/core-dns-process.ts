import { type ProgramContext, ProgramExit, type RunningProgram, type Timer } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { isLoopback } from "@cnilab/net";
import { parseCorefile, type ServerBlock } from "../corefile/corefile.ts";
import { CorefileError } from "../corefile/corefile-error.ts";
import { CoreDns, type DnsListener } from "../server/core-dns.ts";
import { DnsServer, type DnsServerOptions } from "../sockets/serve-dns.ts";
import { SocketTransport } from "../sockets/socket-transport.ts";
import { httpEndpoints, serveEndpoint } from "./http-endpoints.ts";
import { imageTag } from "./program-arguments.ts";

/** The plugin `reload` looks at the file so often, and a little later or earlier each time. */
const RELOAD_MS = 30_000;
const RELOAD_JITTER_MS = 15_000;

/** Where a Corefile comes from. */
export interface CorefileLocation {
  readonly path: string;
  /** The text as it is now; `undefined` where there is no such file. */
  readonly read: () => string | undefined;
}

/** CoreDNS as it runs in a container: its listeners on sockets, its HTTP servers, its watch for a changed Corefile. */
export class CoreDnsProcess implements RunningProgram {
  readonly #context: ProgramContext<NetNamespace>;
  readonly #corefile: CorefileLocation;
  #text: string;
  #running: Instance;
  #timer: Timer | undefined;

  /** @throws ProgramExit where the Corefile is missing or wrong; KernelError EADDRINUSE */
  constructor(context: ProgramContext<NetNamespace>, corefile: CorefileLocation) {
    this.#context = context;
    this.#corefile = corefile;
    const text = corefile.read();
    if (text === undefined) {
      const { path } = corefile;
      throw new ProgramExit(`loading Caddyfile: open ${path}: no such file or directory`, path);
    }
    this.#text = text;
    try {
      this.#running = new Instance(context, corefile.path, text, (why) => this.#fatal(why));
    } catch (error) {
      if (error instanceof CorefileError) throw new ProgramExit(error.message, error.file);
      throw error;
    }
    this.#running.listen();
    this.#watch();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#running.stop();
  }

  hangUp(): void {
    this.#running.hangUp();
  }

  #fatal(why: string): void {
    this.stop();
    this.#context.exit(why);
  }

  #watch(): void {
    if (!this.#running.reloads) return;
    const { node, random } = this.#context;
    this.#timer = node.clock.schedule(
      RELOAD_MS + random.below(RELOAD_JITTER_MS),
      () => this.#reload(),
      { background: true },
    );
  }

  /** A Corefile that is wrong leaves the old one in place. */
  #reload(): void {
    const text = this.#corefile.read();
    if (text !== undefined && text !== this.#text) {
      this.#text = text;
      try {
        const { path } = this.#corefile;
        const next = new Instance(this.#context, path, text, (why) => this.#fatal(why));
        this.#running.stop();
        this.#running = next;
        next.listen();
        this.#context.log("[INFO] Reloading complete");
      } catch (error) {
        if (!(error instanceof CorefileError)) throw error;
        this.#context.log(`[ERROR] Restart failed: ${error.message}`);
      }
    }
    this.#watch();
  }
}

/** CoreDNS with one Corefile. */
class Instance {
  readonly #context: ProgramContext<NetNamespace>;
  readonly #blocks: readonly ServerBlock[];
  readonly #coreDns: CoreDns;
  readonly #transport: SocketTransport;
  readonly #open: { close(): void }[] = [];
  #queries = 0;

  /** @throws CorefileError */
  constructor(
    context: ProgramContext<NetNamespace>,
    path: string,
    text: string,
    fatal: (why: string) => void,
  ) {
    const { node, netns, owner, container, random } = context;
    this.#context = context;
    this.#blocks = parseCorefile({ text, file: path });
    this.#transport = new SocketTransport(netns, owner);
    this.#coreDns = new CoreDns({
      corefile: text,
      corefileName: path,
      api: node.api,
      clock: node.clock,
      random,
      transport: this.#transport,
      readFile: (file) => context.readFile(file),
      log: ({ level, text: line }) => context.log(`[${level}] ${line}`),
      pluginOrder: pluginOrder(imageTag(container.image)),
      localAddresses: () =>
        netns.devices
          .flatMap((dev) => dev.addresses.map((a) => a.address))
          .filter((a) => !isLoopback(a)),
      fatal,
    });
  }

  get reloads(): boolean {
    return this.#blocks.some(({ directives }) => directives.some((d) => d.name.text === "reload"));
  }

  /** @throws KernelError EADDRINUSE */
  listen(): void {
    const { netns, owner } = this.#context;
    try {
      for (const listener of this.#coreDns.listeners) {
        this.#open.push(new DnsServer(netns, this.#counted(listener, owner)));
      }
      for (const endpoint of httpEndpoints(this.#blocks)) {
        this.#open.push(serveEndpoint(netns, endpoint, owner, () => this.#metrics));
      }
      this.#coreDns.start();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop(): void {
    for (const socket of this.#open.splice(0)) socket.close();
    this.#coreDns.close();
  }

  hangUp(): void {
    this.#transport.hangUp();
  }

  #counted(listener: DnsListener, owner: string): DnsServerOptions {
    return {
      owner,
      ...(listener.address === undefined ? {} : { address: listener.address }),
      port: listener.port,
      handle: (query, client, done) => {
        this.#queries++;
        listener.handle(query, client, done);
      },
    };
  }

  get #metrics(): string {
    return `# TYPE coredns_dns_requests_total counter\ncoredns_dns_requests_total ${this.#queries}\n`;
  }
}

/** Before v1.15, `cache` stood before `rewrite` and `autopath`. */
function pluginOrder(tag: string): "v1.13" | "v1.15" {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(tag) ?? [];
  if (major === undefined) return "v1.15";
  return Number(major) === 1 && Number(minor) < 15 ? "v1.13" : "v1.15";
}
