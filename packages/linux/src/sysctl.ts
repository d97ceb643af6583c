import { KernelError } from "./kernel-error.ts";
import {
  NEIGHBOUR_SYSCTLS,
  neighbourSysctl,
  withNeighbourSysctl,
} from "./neighbour/neighbour-parameters.ts";
import type { NetNamespace } from "./net-namespace.ts";
import { INERT_SYSCTLS } from "./sysctl-inert.ts";

/**
 * `net.ipv4.conf.<device>.*`. A device shares the object of `conf.default` until one of its values is
 * written, so objects of this type are replaced, never changed.
 */
export interface Ipv4DeviceConf {
  readonly accept_local: number;
  readonly accept_redirects: number;
  readonly arp_accept: number;
  readonly arp_announce: number;
  readonly arp_filter: number;
  readonly arp_ignore: number;
  readonly arp_notify: number;
  readonly disable_policy: number;
  readonly disable_xfrm: number;
  readonly forwarding: number;
  readonly ignore_routes_with_linkdown: number;
  readonly log_martians: number;
  readonly promote_secondaries: number;
  readonly proxy_arp: number;
  readonly proxy_arp_pvlan: number;
  readonly route_localnet: number;
  readonly rp_filter: number;
  readonly send_redirects: number;
  readonly src_valid_mark: number;
}

/** Values of a freshly booted kernel (net/ipv4/devinet.c ipv4_devconf). */
export const IPV4_DEVICE_CONF: Ipv4DeviceConf = {
  accept_local: 0,
  accept_redirects: 1,
  arp_accept: 0,
  arp_announce: 0,
  arp_filter: 0,
  arp_ignore: 0,
  arp_notify: 0,
  disable_policy: 0,
  disable_xfrm: 0,
  forwarding: 0,
  ignore_routes_with_linkdown: 0,
  log_martians: 0,
  promote_secondaries: 0,
  proxy_arp: 0,
  proxy_arp_pvlan: 0,
  route_localnet: 0,
  rp_filter: 0,
  send_redirects: 1,
  src_valid_mark: 0,
};

/** `net.ipv6.conf.<device>.*`; replaced, never changed. */
export interface Ipv6DeviceConf {
  readonly accept_dad: number;
  readonly accept_ra: number;
  readonly accept_redirects: number;
  readonly addr_gen_mode: number;
  readonly autoconf: number;
  readonly disable_ipv6: number;
  readonly forwarding: number;
  readonly hop_limit: number;
  readonly keep_addr_on_down: number;
  readonly ndisc_notify: number;
  readonly proxy_ndp: number;
  readonly use_tempaddr: number;
}

/** Values of a freshly booted kernel (net/ipv6/addrconf.c ipv6_devconf). */
export const IPV6_DEVICE_CONF: Ipv6DeviceConf = {
  accept_dad: 1,
  accept_ra: 1,
  accept_redirects: 1,
  addr_gen_mode: 0,
  autoconf: 1,
  disable_ipv6: 0,
  forwarding: 0,
  hop_limit: 64,
  keep_addr_on_down: 0,
  ndisc_notify: 0,
  proxy_ndp: 0,
  use_tempaddr: 0,
};

/**
 * The other values of a namespace, by path. A key's default is also its declaration: what is not here
 * does not exist. Sources: Documentation/networking/ip-sysctl.rst, nf_conntrack-sysctl.rst, kernel 6.18.
 */
const DEFAULTS: Readonly<Record<string, number | string>> = {
  ...INERT_SYSCTLS,
  "net/ipv4/fib_multipath_hash_policy": 0,
  "net/ipv4/fwmark_reflect": 0,
  "net/ipv4/icmp_echo_ignore_all": 0,
  "net/ipv4/icmp_echo_ignore_broadcasts": 1,
  "net/ipv4/icmp_errors_use_inbound_ifaddr": 0,
  "net/ipv4/icmp_ratelimit": 1000,
  "net/ipv4/ip_default_ttl": 64,
  "net/ipv4/ip_early_demux": 1,
  "net/ipv4/ip_forward_use_pmtu": 0,
  "net/ipv4/ip_local_port_range": "32768\t60999",
  "net/ipv4/ip_no_pmtu_disc": 0,
  "net/ipv4/ip_nonlocal_bind": 0,
  "net/ipv4/ipfrag_time": 30,
  "net/ipv4/tcp_mtu_probing": 0,
  "net/ipv4/tcp_retries2": 15,
  "net/ipv4/tcp_syn_retries": 6,
  "net/ipv4/tcp_synack_retries": 5,
  "net/ipv4/route/min_pmtu": 552,
  "net/ipv4/route/mtu_expires": 600,
  "net/ipv4/vs/backup_only": 0,
  "net/ipv4/vs/conn_reuse_mode": 1,
  "net/ipv4/vs/conntrack": 0,
  "net/ipv4/vs/expire_nodest_conn": 0,
  "net/ipv4/vs/expire_quiescent_template": 0,
  "net/ipv4/vs/sloppy_sctp": 0,
  "net/ipv4/vs/sloppy_tcp": 0,
  "net/ipv4/vs/snat_reroute": 1,
  "net/ipv6/fib_multipath_hash_policy": 0,
  "net/ipv6/fwmark_reflect": 0,
  "net/ipv6/icmp/echo_ignore_all": 0,
  "net/ipv6/ip6frag_time": 60,
  "net/bridge/bridge-nf-call-iptables": 1,
  "net/bridge/bridge-nf-call-ip6tables": 1,
  "net/bridge/bridge-nf-call-arptables": 1,
  "net/netfilter/nf_conntrack_acct": 0,
  "net/netfilter/nf_conntrack_max": 262144,
  "net/netfilter/nf_conntrack_generic_timeout": 600,
  "net/netfilter/nf_conntrack_icmp_timeout": 30,
  "net/netfilter/nf_conntrack_icmpv6_timeout": 30,
  "net/netfilter/nf_conntrack_udp_timeout": 30,
  "net/netfilter/nf_conntrack_udp_timeout_stream": 120,
  "net/netfilter/nf_conntrack_tcp_be_liberal": 0,
  "net/netfilter/nf_conntrack_tcp_ignore_invalid_rst": 0,
  "net/netfilter/nf_conntrack_tcp_loose": 1,
  "net/netfilter/nf_conntrack_tcp_max_retrans": 3,
  "net/netfilter/nf_conntrack_tcp_timeout_syn_sent": 120,
  "net/netfilter/nf_conntrack_tcp_timeout_syn_recv": 60,
  "net/netfilter/nf_conntrack_tcp_timeout_established": 432000,
  "net/netfilter/nf_conntrack_tcp_timeout_fin_wait": 120,
  "net/netfilter/nf_conntrack_tcp_timeout_close_wait": 60,
  "net/netfilter/nf_conntrack_tcp_timeout_last_ack": 30,
  "net/netfilter/nf_conntrack_tcp_timeout_time_wait": 120,
  "net/netfilter/nf_conntrack_tcp_timeout_close": 10,
  "net/netfilter/nf_conntrack_tcp_timeout_max_retrans": 300,
  "net/netfilter/nf_conntrack_tcp_timeout_unacknowledged": 300,
  "net/netfilter/nf_conntrack_sctp_timeout_closed": 10,
  "net/netfilter/nf_conntrack_sctp_timeout_cookie_wait": 3,
  "net/netfilter/nf_conntrack_sctp_timeout_cookie_echoed": 3,
  "net/netfilter/nf_conntrack_sctp_timeout_established": 210,
  "net/netfilter/nf_conntrack_sctp_timeout_shutdown_sent": 3,
  "net/netfilter/nf_conntrack_sctp_timeout_shutdown_recd": 3,
  "net/netfilter/nf_conntrack_sctp_timeout_shutdown_ack_sent": 3,
  "net/netfilter/nf_conntrack_sctp_timeout_heartbeat_sent": 30,
};

/** Values that {@link Sysctl} also keeps in a field. */
const FIELDS: Readonly<
  Record<
    string,
    | "bridgeNfCallIptables"
    | "bridgeNfCallIp6tables"
    | "defaultTtl"
    | "forwardUsePmtu"
    | "fwmarkReflect4"
    | "fwmarkReflect6"
  >
> = {
  "net/bridge/bridge-nf-call-iptables": "bridgeNfCallIptables",
  "net/bridge/bridge-nf-call-ip6tables": "bridgeNfCallIp6tables",
  "net/ipv4/ip_default_ttl": "defaultTtl",
  "net/ipv4/ip_forward_use_pmtu": "forwardUsePmtu",
  "net/ipv4/fwmark_reflect": "fwmarkReflect4",
  "net/ipv6/fwmark_reflect": "fwmarkReflect6",
};

/** The sysctls of one network namespace. Paths may be written with dots or with slashes. */
export class Sysctl {
  readonly #netns: NetNamespace;
  #values: Map<string, number | string> | undefined;
  conf4All: Ipv4DeviceConf;
  conf4Default: Ipv4DeviceConf;
  conf6All: Ipv6DeviceConf = IPV6_DEVICE_CONF;
  conf6Default: Ipv6DeviceConf = IPV6_DEVICE_CONF;
  // What every packet asks for has a field of its own; see `FIELDS`.
  bridgeNfCallIptables = 1;
  bridgeNfCallIp6tables = 1;
  defaultTtl = 64;
  forwardUsePmtu = 0;
  fwmarkReflect4 = 0;
  fwmarkReflect6 = 0;
  /** Grows with every write, for those who keep values that they use per packet. */
  writes = 0;

  /** @param inheritFrom a new namespace starts with the initial one's IPv4 `all` and `default` (devconf_inherit_init_net = 0) */
  constructor(netns: NetNamespace, inheritFrom?: Sysctl) {
    this.#netns = netns;
    this.conf4All = inheritFrom?.conf4All ?? IPV4_DEVICE_CONF;
    this.conf4Default = inheritFrom?.conf4Default ?? IPV4_DEVICE_CONF;
  }

  /** A value as a number. @throws KernelError ENOENT for an unknown path */
  get(path: string): number {
    return Number(this.getText(path));
  }

  /** A value as `sysctl -n` prints it. @throws KernelError ENOENT for an unknown path */
  getText(path: string): string {
    const key = normalise(path);
    const conf = pathOf(key, "conf");
    if (conf !== undefined) {
      const values = this.#readConf(conf) as unknown as Record<string, number>;
      const value = values[conf.name];
      if (value === undefined) throw unknown(path);
      return String(value);
    }
    const neigh = pathOf(key, "neigh");
    if (neigh !== undefined) return String(this.#readNeigh(neigh, path));
    if (key === "net/ipv4/ip_forward") return String(this.conf4All.forwarding);
    const value = this.#values?.get(key) ?? DEFAULTS[key];
    if (value === undefined) throw unknown(path);
    return String(value);
  }

  /** @throws KernelError ENOENT for an unknown path, EINVAL for a value that is not of its type */
  set(path: string, value: number | string): void {
    const key = normalise(path);
    const conf = pathOf(key, "conf");
    const neigh = pathOf(key, "neigh");
    if (conf !== undefined) {
      this.#writeConf(conf, integer(path, value));
    } else if (neigh !== undefined) {
      this.#readNeigh(neigh, path);
      this.#writeNeigh(neigh, integer(path, value));
    } else if (key === "net/ipv4/ip_forward") {
      this.#setForwarding4(integer(path, value));
    } else {
      const known = DEFAULTS[key];
      if (known === undefined) throw unknown(path);
      const stored = typeof known === "number" ? integer(path, value) : words(path, known, value);
      this.#values ??= new Map();
      this.#values.set(key, stored);
      const field = FIELDS[key];
      if (field !== undefined) this[field] = Number(stored);
    }
    this.writes++;
    this.#netns.network.touch();
  }

  /** Everything that can be read, sorted, as `sysctl -a` for the `net` tree. */
  entries(): [path: string, value: string][] {
    const paths = ["net/ipv4/ip_forward", ...Object.keys(DEFAULTS)];
    const add = (head: string, conf: object): void => {
      for (const key of Object.keys(conf)) paths.push(`${head}/${key}`);
    };
    for (const name of ["all", "default"]) {
      add(`net/ipv4/conf/${name}`, IPV4_DEVICE_CONF);
      add(`net/ipv6/conf/${name}`, IPV6_DEVICE_CONF);
    }
    for (const { name, hasIpv6 } of this.#netns.devices) {
      add(`net/ipv4/conf/${name}`, IPV4_DEVICE_CONF);
      if (hasIpv6) add(`net/ipv6/conf/${name}`, IPV6_DEVICE_CONF);
      for (const parameter of NEIGHBOUR_SYSCTLS) {
        paths.push(`net/ipv4/neigh/${name}/${parameter}`);
        if (hasIpv6) paths.push(`net/ipv6/neigh/${name}/${parameter}`);
      }
    }
    return paths.sort().map((path) => [path, this.getText(path)]);
  }

  #readNeigh({ family, device, name }: DevicePath, path: string): number {
    const dev = this.#netns.findDevice(device);
    if (dev === undefined || (family === 6 && !dev.hasIpv6)) throw unknown(path);
    const value = neighbourSysctl(family === 4 ? dev.neigh4 : dev.neigh6, name, family);
    if (value === undefined) throw unknown(path);
    return value;
  }

  #writeNeigh({ family, device, name }: DevicePath, value: number): void {
    const dev = this.#netns.device(device);
    const field = family === 4 ? "neigh4" : "neigh6";
    dev[field] = successor(dev[field], `${name}=${value}`, (old) =>
      withNeighbourSysctl(old, name, value, family),
    );
  }

  #readConf({ family, device, name }: DevicePath): Ipv4DeviceConf | Ipv6DeviceConf {
    if (device === "all") return family === 4 ? this.conf4All : this.conf6All;
    if (device === "default") return family === 4 ? this.conf4Default : this.conf6Default;
    const dev = this.#netns.findDevice(device);
    if (dev === undefined || (family === 6 && !dev.hasIpv6)) {
      throw unknown(`net/ipv${family}/conf/${device}/${name}`);
    }
    return family === 4 ? dev.conf4 : dev.conf6;
  }

  #writeConf(path: DevicePath, value: number): void {
    const { family, device, name } = path;
    const old = this.#readConf(path) as unknown as Record<string, number>;
    if (old[name] === undefined) throw unknown(`net/ipv${family}/conf/${device}/${name}`);
    // What a device did when it came up, it did by the values of that time.
    if (name === "disable_ipv6" || name === "addr_gen_mode") this.#netns.startIpv6();
    if (family === 4 && name === "forwarding" && device === "all") {
      this.#setForwarding4(value);
      return;
    }
    const changed = withValue(old, name, value) as unknown;
    if (family === 4) {
      const conf = changed as Ipv4DeviceConf;
      if (device === "all") this.conf4All = conf;
      else if (device === "default") this.conf4Default = conf;
      else this.#netns.device(device).conf4 = conf;
      return;
    }
    const conf = changed as Ipv6DeviceConf;
    if (device === "all") {
      this.conf6All = conf;
      // `all` of these two reaches every device, present and future (net/ipv6/addrconf.c).
      if (name === "forwarding" || name === "disable_ipv6") {
        this.conf6Default = { ...this.conf6Default, [name]: value };
        for (const dev of this.#netns.devices) {
          dev.conf6 = withValue(dev.conf6, name, value);
          if (name === "disable_ipv6") dev.ipv6Toggled();
        }
      }
    } else if (device === "default") {
      this.conf6Default = conf;
    } else {
      const dev = this.#netns.device(device);
      dev.conf6 = conf;
      if (name === "disable_ipv6" && old[name] !== value) dev.ipv6Toggled();
    }
  }

  /** `ip_forward` is `conf.all.forwarding`, and writing it writes every device's (inet_forward_change). */
  #setForwarding4(value: number): void {
    const forwarding = value === 0 ? 0 : 1;
    // A router does not accept redirects from others.
    const accept_redirects = forwarding === 0 ? 1 : 0;
    this.conf4All = { ...this.conf4All, forwarding, accept_redirects };
    this.conf4Default = { ...this.conf4Default, forwarding };
    for (const dev of this.#netns.devices) {
      dev.conf4 = withValue(dev.conf4, "forwarding", forwarding);
    }
  }
}

/** What became of a configuration by a write: thousands of devices are configured alike, and share. */
const written = new WeakMap<object, Map<string, object>>();

/** The configuration with one other value. */
function withValue<T extends object>(conf: T, name: string, value: number): T {
  if ((conf as Record<string, number>)[name] === value) return conf;
  return successor(conf, `${name}=${value}`, (old) => ({ ...old, [name]: value }));
}

function successor<T extends object>(conf: T, write: string, make: (conf: T) => T): T {
  let successors = written.get(conf);
  if (successors === undefined) {
    successors = new Map();
    written.set(conf, successors);
  }
  let changed = successors.get(write);
  if (changed === undefined) {
    changed = make(conf);
    successors.set(write, changed);
  }
  return changed as T;
}

interface DevicePath {
  readonly family: 4 | 6;
  readonly device: string;
  readonly name: string;
}

/** Splits `net/ipv4/conf/DEVICE/NAME` and `net/ipv4/neigh/DEVICE/NAME`. */
function pathOf(key: string, tree: "conf" | "neigh"): DevicePath | undefined {
  const is4 = key.startsWith(`net/ipv4/${tree}/`);
  if (!is4 && !key.startsWith(`net/ipv6/${tree}/`)) return undefined;
  const [device, name, more] = key.slice(`net/ipv4/${tree}/`.length).split("/");
  if (!device || !name || more !== undefined) return undefined;
  return { family: is4 ? 4 : 6, device, name };
}

/** With slashes a device may have dots in its name; with dots, sysctl(8) lets it have slashes for them. */
function normalise(path: string): string {
  if (path.startsWith("net/")) return path;
  const slashed = path.replace(/[./]/g, (c) => (c === "." ? "/" : "."));
  // `net.ipv4.conf.flannel.1.forwarding` is not sysctl(8)'s spelling, yet everybody writes it.
  return slashed.replace(
    /^(net\/ipv[46]\/(?:conf|neigh)\/)(.+)(\/[^/]+)$/,
    (_, head, device, tail) => {
      return `${head}${(device as string).replaceAll("/", ".")}${tail}`;
    },
  );
}

function integer(path: string, value: number | string): number {
  const number = typeof value === "number" ? value : Number(value.trim() === "" ? "x" : value);
  if (!Number.isInteger(number)) {
    throw new KernelError("EINVAL", `sysctl ${path} takes an integer, not "${value}"`);
  }
  return number;
}

/** Several values: numbers where there are numbers, with tabs between them (`proc_dointvec`). */
function words(path: string, known: string, value: number | string): string {
  const given = String(value).trim();
  if (!/^[-0-9\t]+$/.test(known)) return given;
  return given
    .split(/\s+/)
    .map((word) => integer(path, word))
    .join("\t");
}

function unknown(path: string): KernelError {
  return new KernelError("ENOENT", `no sysctl ${path}`);
}
