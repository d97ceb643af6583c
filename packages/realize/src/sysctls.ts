import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Bridge, Dummy, Kernel, type NetDevice, type NetNamespace, Network } from "@cnilab/linux";

/**
 * What the model does not have, because an address is usable at once there, nothing else is on the
 * wire, and ICMP is not held back.
 */
const FIXED = [
  "net/ipv6/conf/all/accept_dad=0",
  "net/ipv6/conf/default/accept_dad=0",
  "net/ipv6/conf/lo/accept_dad=0",
  "net/ipv6/conf/default/router_solicitations=0",
  // Groups that a device joins are reported at once, and not for seconds after.
  "net/ipv4/conf/default/igmpv3_unsolicited_report_interval=1",
  "net/ipv6/conf/default/mldv2_unsolicited_report_interval=1",
  "net/ipv6/icmp/ratelimit=0",
];

/** Not writable in a namespace, or written above. */
const NEVER = /\/conf\/[^/]+\/(accept_dad)$/;

/**
 * Values to write before there are devices. A new namespace takes its IPv4 `all` and `default` from the
 * machine's first one, whatever that was set to, so each of them is written.
 */
export function namespaceSysctls(netns: NetNamespace): string[] {
  const fresh = freshValues();
  const { hasBridge } = bridgeNetfilter(netns);
  const entries = netns.sysctl.entries().filter(([path]) => !NEVER.test(path));
  const common = entries.filter(([path, value]) => {
    if (path.startsWith("net/bridge/")) return hasBridge;
    const isOfDevice = /\/(conf|neigh)\//.test(path);
    return !isOfDevice && path !== "net/ipv4/ip_forward" && fresh.get(path) !== value;
  });
  // `forwarding` first: it writes others.
  const shared = ["all", "default", "lo"].flatMap((name) =>
    entries
      .filter(([path]) => path.startsWith("net/ipv4/conf/") && path.split("/")[3] === name)
      .sort(forwardingFirst),
  );
  const shared6 = ["all", "default", "lo"].flatMap((name) =>
    entries
      .filter(([path, value]) => {
        if (!path.startsWith("net/ipv6/conf/") || path.split("/")[3] !== name) return false;
        return fresh.get(path) !== value;
      })
      .sort(forwardingFirst),
  );
  return [...FIXED, ...[...shared, ...shared6, ...common].map((entry) => assignment(netns, entry))];
}

/** Values in which a device differs from `default`. */
export function deviceSysctls(netns: NetNamespace, dev: NetDevice): string[] {
  const values = new Map(netns.sysctl.entries());
  const lines: string[] = [];
  for (const family of [4, 6]) {
    const head = `net/ipv${family}/conf/${dev.name}/`;
    for (const [path, value] of values) {
      if (!path.startsWith(head) || NEVER.test(path)) continue;
      const name = path.slice(head.length);
      if (values.get(`net/ipv${family}/conf/default/${name}`) !== value) {
        lines.push(`${path}=${value}`);
      }
    }
    lines.push(...neighbourSysctls(values, family, dev));
  }
  return lines;
}

/** Of a device's neighbours there is no `default` in a namespace. A time with two names is written by the finer one. */
function neighbourSysctls(
  values: ReadonlyMap<string, string>,
  family: number,
  { name }: NetDevice,
): string[] {
  const usual = freshValues();
  const head = `net/ipv${family}/neigh/${name}/`;
  return [...values]
    .filter(([path, value]) => {
      if (!path.startsWith(head) || values.has(`${path}_ms`)) return false;
      return usual.get(`net/ipv${family}/neigh/usual/${path.slice(head.length)}`) !== value;
    })
    .map(([path, value]) => `${path}=${value}`);
}

function forwardingFirst([x]: readonly [string, string], [y]: readonly [string, string]): number {
  return Number(y.endsWith("/forwarding")) - Number(x.endsWith("/forwarding"));
}

function assignment(netns: NetNamespace, [path, value]: readonly [string, string]): string {
  const { loaded } = bridgeNetfilter(netns);
  return `${path}=${path.startsWith("net/bridge/") && !loaded ? 0 : value}`;
}

function bridgeNetfilter(netns: NetNamespace): { loaded: boolean; hasBridge: boolean } {
  return {
    loaded: netns.kernel.brNetfilter,
    hasBridge: netns.devices.some((dev) => dev instanceof Bridge),
  };
}

let fresh: ReadonlyMap<string, string> | undefined;

/** The values of a namespace, and its device `usual`, that nobody has written to. */
function freshValues(): ReadonlyMap<string, string> {
  if (fresh === undefined) {
    const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "fresh");
    new Dummy(initNs, { name: "usual" });
    fresh = new Map(initNs.sysctl.entries());
  }
  return fresh;
}
