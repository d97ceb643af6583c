import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Bridge, Kernel, type NetNamespace, Network } from "@cnilab/linux";
import { type IpAddress, type Ipv4Address, parseIp, parsePrefix } from "@cnilab/net";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import {
  type Firewaller,
  GATEWAY_BRIDGE,
  IngressRules,
  IptablesFirewaller,
  type NetworkFirewall,
  type NetworkRules,
  NftablesFirewaller,
} from "../../src/index.ts";

/** What dockerd's own tests recorded. */
interface Recorded {
  readonly title: string;
  /** The commands, one behind the other. */
  readonly docker: string;
  readonly daemon?: string;
  readonly tables?: readonly { readonly table: string; readonly rules: readonly string[] }[];
  readonly ruleset?: readonly (readonly string[])[];
}

/** Rule sets of dockerd, recorded by moby's own tests. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const file of globSync("*.json", { cwd: folder }).sort()) {
    const recorded = JSON.parse(readFileSync(join(folder, file), "utf8")) as Recorded;
    const name = file.replace(/\.json$/, "");
    const detail = difference(recorded);
    yield detail === undefined ? { name, outcome: "passed" } : { name, outcome: "failed", detail };
  }
}

function difference({ docker, daemon = "", tables, ruleset }: Recorded): string | undefined {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "host");
  const config = {
    families: [4] as const,
    hairpin: daemon.includes("--userland-proxy=false"),
    allowDirectRouting: false,
  };
  const firewaller =
    ruleset === undefined
      ? new IptablesFirewaller(initNs, config)
      : new NftablesFirewaller(initNs, config);
  run(docker, initNs, firewaller);
  if (ruleset !== undefined) {
    const want = ruleset.flat().map((line) => line.replace(/^ {4}/, ""));
    return compared(nftLines(want), nftLines(initNs.nftables.list().split("\n")));
  }
  const differences = (tables ?? []).map(({ table, rules }) =>
    compared(rules, initNs.iptables(4).list(table)),
  );
  return differences.find(Boolean);
}

/** The order in which chains and maps were made is nobody's affair, and that of a set's elements neither. */
function nftLines(lines: readonly string[]): string[] {
  const text = lines
    .join("\n")
    .replace(/elements = \{([^}]*)\}/g, (_, elements: string) => {
      const sorted = elements.split(",").map((element) => element.trim());
      return `elements = { ${sorted.sort().join(", ")} }`;
    })
    .replace(/ counter packets \d+ bytes \d+/g, " counter")
    // nft learnt to say `dstnat` of the output hook after 1.0.6.
    .replace("hook output priority -100", "hook output priority dstnat");
  return text
    .split(/\n\s*\n/)
    .flatMap((block) => block.split(/(?<=^\t\})\n/m))
    .map((block) =>
      block
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "" && !/^(table .*|\})$/.test(line))
        .join("\n"),
    )
    .filter((block) => block !== "")
    .sort();
}

function compared(want: readonly string[], got: readonly string[]): string | undefined {
  if (want.join("\n") === got.join("\n")) return undefined;
  return [
    ...want.filter((line) => !got.includes(line)).map((line) => `- ${line}`),
    ...got.filter((line) => !want.includes(line)).map((line) => `+ ${line}`),
    `wanted:\n${want.join("\n")}\ngot:\n${got.join("\n")}`,
  ].join("\n");
}

/** Runs the commands as far as rules are concerned; each network's first container gets the address behind the gateway. */
function run(docker: string, netns: NetNamespace, firewaller: Firewaller): void {
  const networks = new Map<string, { firewall: NetworkFirewall; next: IpAddress }>();
  const make = (rules: NetworkRules, name: string) => {
    new Bridge(netns, { name: rules.bridge });
    const firewall = firewaller.addNetwork(rules);
    const first = rules.ipv4?.prefix.address as Ipv4Address;
    const made = { firewall, next: first + 2 };
    networks.set(name, made).set(rules.bridge, made);
  };
  make(bridgeRules("docker0", "172.17.0.0/16"), "bridge");
  for (const command of docker.split(/(?=docker (?:network|run|service) )/)) {
    const words = command.trim().split(/\s+/);
    const option = (name: string) => {
      const at = words.indexOf(name);
      return at < 0 ? undefined : words[at + 1];
    };
    const driver = (name: string) =>
      words
        .find((word) => word.startsWith(`com.docker.network.bridge.${name}=`))
        ?.split("=")
        .at(-1);
    if (words[1] === "network") {
      const bridge = driver("name") ?? "";
      const mode = driver("gateway_mode_ipv4");
      const rules = bridgeRules(bridge, option("--subnet") ?? "", {
        internal: words.includes("--internal"),
        // In one of the recorded texts the option is at the wrong network (the vectors' README).
        icc: driver("enable_icc") !== "false" && bridge !== "bridgeNoICC",
        routed: mode === "routed",
        unprotected: mode === "nat-unprotected",
      });
      make(rules, words.at(-1) ?? "");
    } else if (words[1] === "run") {
      const network = networks.get(option("--network") ?? "bridge");
      if (network === undefined) throw new Error(`no network for: ${command}`);
      const address = network.next;
      network.firewall.addEndpoint(address);
      const published = option("-p");
      if (published === undefined) continue;
      const [port, hostPort, host = "0.0.0.0"] = published.split(":").reverse();
      network.firewall.addPort({
        protocol: "tcp",
        address,
        port: Number(port),
        hostIp: parseIp(host),
        hostPort: docker.includes("=routed") ? 0 : Number(hostPort),
      });
    } else if (words[1] === "service") {
      make(bridgeRules(GATEWAY_BRIDGE, "172.18.0.0/16", { icc: false }), GATEWAY_BRIDGE);
      const ingress = new IngressRules(netns, parseIp("172.18.0.2"));
      const [published] = (option("-p") ?? "").split(":");
      ingress.addPort({ protocol: "tcp", published: Number(published) });
    }
  }
}

function bridgeRules(
  bridge: string,
  subnet: string,
  given: {
    readonly internal?: boolean;
    readonly icc?: boolean;
    readonly routed?: boolean;
    readonly unprotected?: boolean;
  } = {},
): NetworkRules {
  const { internal = false, icc = true, routed = false, unprotected = false } = given;
  return {
    bridge,
    internal,
    icc,
    masquerade: true,
    trustedHostInterfaces: [],
    ipv4: { prefix: parsePrefix(subnet), routed, unprotected },
  };
}
