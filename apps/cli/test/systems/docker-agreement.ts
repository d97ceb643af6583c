import { spawnSync } from "node:child_process";
import { EMBEDDED_DNS } from "@cnilab/docker";
import { exchange, type NetNamespace } from "@cnilab/linux";
import { formatIp, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { checkKernel, script, up } from "@cnilab/realize";
import { expect } from "vitest";
import type { DockerLab } from "./docker-lab.ts";
import { askForReal, type RealAnswer, realName } from "./real-sockets.ts";

/** Seconds that a client waits: an address that nobody has is given up after three. */
const WAIT_S = 4.5;
/** A loaded machine may answer too late; what differs is asked again so often. */
const LOOKS = 3;

/** Of the model's clients of UDP: more than one machine asks by, and none that are published. */
const FIRST_PORT = 10_000;
const PORTS = 20_000;

const PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, ICMP: IPPROTO_ICMP } as const;

interface Probe {
  readonly source: string;
  readonly netns: NetNamespace;
  readonly protocol: keyof typeof PROTOCOLS;
  readonly address: string;
  readonly port: number;
}

/**
 * Makes a host with Docker real, its proxies and the programs of all containers with it, and has everybody ask everybody:
 * what each hears has to be what the model says, in words that tell errors apart.
 * @returns how often each outcome was met, so that silence alone proves nothing
 */
export async function expectDockerAgreement(
  lab: DockerLab,
  prefix: string,
): Promise<Readonly<Record<string, number>>> {
  const made = script(lab.network, { prefix });
  checkKernel(made);
  const realized = await up(made);
  try {
    const probes = probesOf(lab).map((probe, i) => ({ probe, modelled: modelled(probe, i) }));
    let open = probes;
    let differences: string[] = [];
    for (let look = 0; look < LOOKS && open.length > 0; look++) {
      const answers = await askForReal(
        lab.network,
        prefix,
        open.map(({ probe }) => ({
          ...probe,
          netns: realName(prefix, probe.netns),
          alone: false,
        })),
        { wait: WAIT_S, relayOf: (socket) => lab.relayOf(socket) },
      );
      const found = open.map((one, i) => ({ ...one, heard: heard(answers[i] as RealAnswer) }));
      open = found.filter((one) => one.heard !== one.modelled);
      differences = found.flatMap(({ probe, heard, modelled }) =>
        heard === modelled ? [] : [`${inWords(probe)}: ${heard}, not ${modelled}`],
      );
    }
    expect(differences).toEqual([]);
    for (const netns of [lab.host, lab.docker.container("web").netns]) {
      expectSameRules(netns, realName(prefix, netns));
    }
    return countsOf(probes.map((one) => one.modelled));
  } finally {
    await realized.remove();
  }
}

/**
 * Everybody asks every address at each port, every published port at addresses of the host, and where the embedded DNS is:
 * behind the rules of containers on user-defined networks.
 */
function probesOf(lab: DockerLab): Probe[] {
  const asked = [
    ...[...lab.addresses, NOBODY].flatMap((address) => [
      { protocol: "TCP", address, port: 80 } as const,
      { protocol: "TCP", address, port: 81 } as const,
      { protocol: "UDP", address, port: 80 } as const,
      { protocol: "ICMP", address, port: 0 } as const,
    ]),
    ...lab.addresses6.flatMap((address) => [
      { protocol: "TCP", address, port: 80 } as const,
      { protocol: "TCP", address, port: 81 } as const,
      { protocol: "UDP", address, port: 80 } as const,
    ]),
    { protocol: "TCP", address: formatIp(EMBEDDED_DNS), port: 53 } as const,
    { protocol: "UDP", address: formatIp(EMBEDDED_DNS), port: 53 } as const,
    ...lab.hostAddresses.flatMap((address, i) =>
      lab.hostPorts
        .filter(({ protocol }) => protocol === "TCP" || i < UDP_ADDRESSES)
        .map((port) => ({ ...port, address })),
    ),
  ];
  // Who has a twin would hear what that hears.
  const sources = [...lab.sources].filter(([name]) => !name.endsWith("2"));
  return sources.flatMap(([source, netns]) => asked.map((one) => ({ source, netns, ...one })));
}

/** Of the host's addresses, those that are asked for published ports by UDP, too: loopback and its own. */
const UDP_ADDRESSES = 2;

/** An address of the first network that nobody has. */
const NOBODY = "172.18.99.99";

function inWords({ source, protocol, address, port }: Probe): string {
  return `${source} asks ${address}${protocol === "ICMP" ? "" : ` port ${port}`} by ${protocol}`;
}

/** docker-proxy takes a client of UDP for the one before with its port: each has one of its own. */
function modelled({ netns, protocol, address, port }: Probe, number: number): string {
  const { outcome, report, replyFrom, error } = exchange(netns, {
    protocol: PROTOCOLS[protocol],
    dst: parseIp(address),
    port,
    srcPort: protocol === "UDP" ? FIRST_PORT + (number % PORTS) : undefined,
    waitMs: 1000 * WAIT_S,
  });
  if (report !== undefined) return `${report.owner} saw ${formatIp(report.seenAddress)}`;
  if (replyFrom !== undefined) return `reply from ${formatIp(replyFrom)}`;
  return outcome === "stalled" ? "stalled" : (error?.errno ?? "ETIMEDOUT");
}

function heard({ owner, seen, replied, errno, stalled }: RealAnswer): string {
  if (owner !== undefined) return `${owner} saw ${seen}`;
  if (replied !== undefined) return `reply from ${replied}`;
  return stalled ? "stalled" : `${errno}`;
}

function countsOf(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const kind = outcome.replace(/^\S+ saw .*/, "answered").replace(/^reply .*/, "replied");
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** What the real tools list of the rules is what the model lists. */
function expectSameRules(host: NetNamespace, name: string): void {
  const listed = (...command: string[]): string =>
    spawnSync("ip", ["netns", "exec", name, ...command], { encoding: "utf8" }).stdout;
  for (const family of [4, 6] as const) {
    const iptables = host.findIptables(family);
    if (iptables === undefined) continue;
    const tool = family === 4 ? "iptables-save" : "ip6tables-save";
    expect(rulesOf(listed(tool))).toEqual(rulesOf(iptables.save()));
  }
  const nftables = host.findNftables();
  if (nftables !== undefined) {
    expect(rulesOf(listed("nft", "list", "ruleset"))).toEqual(rulesOf(nftables.list()));
  }
}

/** Without comments and counters. */
function rulesOf(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => !line.startsWith("#") && line !== "")
    .map((line) =>
      line
        .replace(/^(:.*) \[\d+:\d+\]$/, "$1")
        .replace(/\bcounter packets \d+ bytes \d+/, "counter"),
    );
}
