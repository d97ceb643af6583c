import {
  Bridge,
  type BridgePort,
  Geneve,
  IpTunnel,
  Macvlan,
  type NetDevice,
  Tun,
  Vxlan,
  vportOf,
} from "@cnilab/linux";
import { formatIp, isMulticast, type Mac } from "@cnilab/net";
import { type Field, field, flag, jsonOnly, onOff, textOnly } from "./field.ts";

/** What `ip -d link` says of a device's own kind; empty where it says no more than its name. */
export function kindFields(dev: NetDevice): readonly Field[] {
  if (dev instanceof Vxlan) return vxlanFields(dev);
  if (dev instanceof Geneve) return geneveFields(dev);
  if (dev instanceof Bridge) return bridgeFields(dev);
  if (dev instanceof Macvlan) return macvlanFields(dev);
  if (dev instanceof IpTunnel) return tunnelFields(dev);
  if (dev instanceof Tun) return tunFields();
  return [];
}

function vxlanFields(dev: Vxlan): Field[] {
  const fields: Field[] = [flag("external", dev.external), field("id", dev.vni)].slice(
    dev.external ? 0 : 1,
  );
  const { remote, local, link } = dev;
  if (remote !== undefined) {
    fields.push(field(isMulticast(remote) ? "group" : "remote", formatIp(remote)));
  }
  if (local !== undefined) fields.push(field("local", formatIp(local)));
  if (link !== undefined) fields.push(field("dev", link.name, "link"));
  fields.push(
    { text: "srcport 0 0", key: "port_range", value: { low: 0, high: 0 } },
    field("dstport", dev.port, "port"),
    { text: dev.learning ? undefined : "nolearning", key: "learning", value: dev.learning },
    { text: dev.ttl === 0 ? "ttl auto" : `ttl ${dev.ttl}`, key: "ttl", value: dev.ttl },
    jsonOnly("df", "unset"),
    field("ageing", dev.ageing),
    flag("udpcsum", dev.udpChecksum, "udp_csum"),
    flag("udp6zerocsumtx", false, "udp_zero_csum6_tx"),
    // net/openvswitch/vport-vxlan.c vxlan_tnl_create
    flag("udp6zerocsumrx", vportOf(dev) !== undefined, "udp_zero_csum6_rx"),
  );
  if (dev.groupPolicy) fields.push({ text: "gbp", key: "gbp", value: true });
  return fields;
}

/** As iproute2 6.1 ip/iplink_geneve.c `geneve_print_opt`. */
function geneveFields(dev: Geneve): Field[] {
  const { remote } = dev;
  const isIpv4 = typeof remote === "number";
  if (dev.external) {
    return [
      flag("external", true),
      field("id", 0),
      { text: "ttl auto", key: "ttl", value: 0 },
      jsonOnly("df", "unset"),
      field("dstport", dev.port, "port"),
    ];
  }
  return [
    field("id", dev.vni),
    field("remote", formatIp(remote), isIpv4 ? "remote" : "remote6"),
    { text: dev.ttl === 0 ? "ttl auto" : `ttl ${dev.ttl}`, key: "ttl", value: dev.ttl },
    jsonOnly("df", "unset"),
    field("dstport", dev.port, "port"),
    isIpv4
      ? flag("udpcsum", dev.udpChecksum, "udp_csum")
      : flag("udp6zerocsumtx", !dev.udpChecksum, "udp_zero_csum6_tx"),
    flag("udp6zerocsumrx", isIpv4, "udp_zero_csum6_rx"),
  ];
}

/** Timers stand at 0, as there is no spanning tree that would use them. */
function bridgeFields(dev: Bridge): Field[] {
  const id = `8000.${bridgeMac(dev.mac)}`;
  const seconds = (name: string): Field => ({ text: `${name}    0.00`, key: name, value: 0 });
  return [
    field("forward_delay", 1500),
    field("hello_time", 200),
    field("max_age", 2000),
    field("ageing_time", dev.fdb.ageingTime / 10),
    field("stp_state", 0),
    field("priority", 32768),
    field("vlan_filtering", 0),
    field("bridge_id", id),
    field("designated_root", id, "root_id"),
    field("root_port", 0),
    field("root_path_cost", 0),
    field("topology_change", 0),
    field("topology_change_detected", 0),
    seconds("hello_timer"),
    seconds("tcn_timer"),
    seconds("topology_change_timer"),
    seconds("gc_timer"),
    { text: "group_fwd_mask 0", key: "group_fwd_mask", value: "0" },
    field("group_address", "01:80:c2:00:00:00", "group_addr"),
    field("mcast_snooping", 1),
    field("no_linklocal_learn", 0),
    field("mcast_vlan_snooping", 0),
    field("mcast_router", 1),
    field("mcast_query_use_ifaddr", 0),
    field("mcast_querier", 0),
    field("mcast_hash_elasticity", 16),
    field("mcast_hash_max", 4096),
    field("mcast_last_member_count", 2, "mcast_last_member_cnt"),
    field("mcast_startup_query_count", 2, "mcast_startup_query_cnt"),
    field("mcast_last_member_interval", 100, "mcast_last_member_intvl"),
    field("mcast_membership_interval", 26000, "mcast_membership_intvl"),
    field("mcast_querier_interval", 25500, "mcast_querier_intvl"),
    field("mcast_query_interval", 12500, "mcast_query_intvl"),
    field("mcast_query_response_interval", 1000, "mcast_query_response_intvl"),
    field("mcast_startup_query_interval", 3124, "mcast_startup_query_intvl"),
    field("mcast_stats_enabled", 0),
    field("mcast_igmp_version", 2),
    field("mcast_mld_version", 1),
    field("nf_call_iptables", 0),
    field("nf_call_ip6tables", 0),
    field("nf_call_arptables", 0),
  ];
}

/** What `ip -d link` says of a device as port of a bridge. */
export function bridgePortFields(port: BridgePort): readonly Field[] {
  const { bridge, dev } = port;
  const id = `8000.${bridgeMac(bridge.mac)}`;
  const number = bridge.ports.length - bridge.ports.indexOf(port);
  const forwarding = dev.up && dev.carrier;
  const seconds = (name: string): Field => ({ text: `${name}    0.00`, key: name, value: 0 });
  return [
    field("state", forwarding ? "forwarding" : "disabled"),
    field("priority", 32),
    // br_stp_if.c port_cost: 2 for 10 Gbit/s, which is what a veth says of itself
    field("cost", 2),
    onOff("hairpin", port.hairpin),
    onOff("guard", false),
    onOff("root_block", false),
    onOff("fastleave", false),
    onOff("learning", port.learning),
    onOff("flood", port.flood),
    field("port_id", `0x${(0x8000 + number).toString(16)}`, "id"),
    field("port_no", `0x${number.toString(16)}`, "no"),
    field("designated_port", 0x8000 + number),
    field("designated_cost", 0),
    field("designated_bridge", id, "bridge_id"),
    field("designated_root", id, "root_id"),
    seconds("hold_timer"),
    seconds("message_age_timer"),
    seconds("forward_delay_timer"),
    field("topology_change_ack", 0),
    field("config_pending", 0),
    onOff("proxy_arp", false),
    onOff("proxy_arp_wifi", false),
    field("mcast_router", 1, "multicast_router"),
    textOnly("mcast_fast_leave off"),
    onOff("mcast_flood", port.mcastFlood),
    onOff("bcast_flood", port.bcastFlood),
    onOff("mcast_to_unicast", false),
    onOff("neigh_suppress", false),
    { text: "group_fwd_mask 0", key: "group_fwd_mask", value: "0" },
    field("group_fwd_mask_str", "0x0"),
    onOff("vlan_tunnel", false),
    onOff("isolated", port.isolated),
    onOff("locked", false),
  ];
}

function macvlanFields(dev: Macvlan): Field[] {
  return [field("mode", dev.mode), field("bcqueuelen", 1000), field("usedbcqueuelen", 1000)];
}

function tunnelFields(dev: IpTunnel): Field[] {
  const address = (ip: number): string => (ip === 0 ? "any" : formatIp(ip));
  const fields: Field[] = [
    // `ip link add type ipip|sit` names no protocol unless `mode` is given, and the kernel keeps that.
    { text: "any", key: "proto", value: "any" },
    field("remote", address(dev.remote)),
    field("local", address(dev.local)),
  ];
  if (dev.link !== undefined) fields.push(field("dev", dev.link.name, "link"));
  fields.push(
    { text: dev.ttl === 0 ? "ttl inherit" : `ttl ${dev.ttl}`, key: "ttl", value: dev.ttl },
    flag("pmtudisc", dev.pathMtuDiscovery),
  );
  if (dev.kind === "sit") {
    fields.push(
      { text: "6rd-prefix 2002::/16", key: "prefix", value: "2002::" },
      jsonOnly("prefixlen", 16),
    );
  }
  return fields;
}

function tunFields(): Field[] {
  return [
    field("type", "tun"),
    onOff("pi", false),
    onOff("vnet_hdr", false),
    jsonOnly("multi_queue", false),
    onOff("persist", true),
  ];
}

/** A MAC as `br_dump_bridge_id` writes it: octets without leading zeros. */
function bridgeMac(mac: Mac): string {
  const octets: string[] = [];
  for (let shift = 40; shift >= 0; shift -= 8) {
    octets.push((Math.floor(mac / 2 ** shift) & 255).toString(16));
  }
  return octets.join(":");
}
