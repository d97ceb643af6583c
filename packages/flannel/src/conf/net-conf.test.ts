import { InputError } from "@cnilab/core";
import { formatIp, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { checkSubnets, networkOf, parseNetConf } from "./net-conf.ts";

const NETWORK = '"Network": "10.244.0.0/16"';

describe("net-conf.json", () => {
  test.each([
    // the documentation calls vxlan the default; the program does not
    { text: `{${NETWORK}}`, backend: { type: "udp", port: 8285 } },
    {
      text: `{${NETWORK}, "Backend": {"Type": "udp", "Port": 7890}}`,
      backend: { type: "udp", port: 7890 },
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "vxlan"}}`,
      backend: {
        type: "vxlan",
        vni: 1,
        port: 0,
        mtu: undefined,
        gbp: false,
        learning: false,
        directRouting: false,
      },
    },
    {
      text: `{"network": "10.244.0.0/16", "BACKEND": {"type": "VXLAN", "vni": 42, "PORT": 4789, "mtu": 9000, "gbp": true, "Learning": true, "directrouting": true}}`,
      backend: {
        type: "vxlan",
        vni: 42,
        port: 4789,
        mtu: 9000,
        gbp: true,
        learning: true,
        directRouting: true,
      },
    },
    { text: `{${NETWORK}, "Backend": {"Type": "Host-GW"}}`, backend: { type: "host-gw" } },
    {
      text: `{${NETWORK}, "Backend": {"Type": "ipip", "DirectRouting": true}}`,
      backend: { type: "ipip", directRouting: true },
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "alloc", "SomethingElse": []}}`,
      backend: { type: "alloc" },
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "wireguard", "PSK": "${"A".repeat(42)}A=", "PersistentKeepaliveInterval": 25, "Mode": "auto"}}`,
      backend: {
        type: "wireguard",
        listenPort: 51820,
        listenPortV6: 51821,
        mtu: undefined,
        psk: `${"A".repeat(43)}=`,
        persistentKeepaliveInterval: 25,
        mode: "auto",
      },
    },
  ])("$text", ({ text, backend }) => {
    expect(parseNetConf(text).backend).toEqual(backend);
  });

  test.each([
    {
      conf: {},
      network: undefined,
      v6: undefined,
      error: '"Network" is missing though "EnableIPv4" is true',
    },
    { conf: { Network: "10.1.0.0/16" }, network: "10.1.0.0/16", v6: undefined },
    {
      conf: { EnableIPv4: false, EnableIPv6: true, IPv6Network: "2001:db8::/48" },
      network: undefined,
      v6: "2001:db8::/48",
    },
    {
      conf: { Network: "10.1.0.0/16", EnableIPv6: true, IPv6Network: "2001:db8::/48" },
      network: "10.1.0.0/16",
      v6: "2001:db8::/48",
    },
    // there, but switched off
    {
      conf: { Network: "10.1.0.0/16", IPv6Network: "2001:db8::/48" },
      network: "10.1.0.0/16",
      v6: undefined,
    },
  ])("networks of $conf", ({ conf, network, v6, error }) => {
    if (error !== undefined) {
      expect(() => parseNetConf(conf)).toThrow(error);
      return;
    }
    const parsed = parseNetConf(conf);
    expect(networkOf(parsed, 4)?.toString()).toBe(network);
    expect(networkOf(parsed, 6)?.toString()).toBe(v6);
  });

  test.each([
    { text: "", error: "not JSON" },
    { text: "[]", error: "the document must be an object, not []" },
    { text: `{"EnableIPv4": false}`, error: 'one of "EnableIPv4" and "EnableIPv6" must be true' },
    {
      text: `{"EnableIPv6": true, ${NETWORK}}`,
      error: '"IPv6Network" is missing though "EnableIPv6" is true',
    },
    {
      text: `{"Network": "10.244.0.0"}`,
      error: '"Network" must be an IPv4 network such as 10.244.0.0/16, not "10.244.0.0"',
    },
    {
      text: `{"Network": "10.244.1.0/16"}`,
      error: '"Network" must be a network address such as 10.244.0.0/16',
    },
    { text: `{"Network": "2001:db8::/32"}`, error: '"Network" must be an IPv4 network' },
    { text: `{"Network": 10}`, error: '"Network" must be a string, not 10' },
    {
      text: `{${NETWORK}, "EnableNFTables": "yes"}`,
      error: '"EnableNFTables" must be true or false, not "yes"',
    },
    {
      text: `{${NETWORK}, "SubnetLen": 33}`,
      error: '"SubnetLen" must be an integer from 0 to 32, not 33',
    },
    { text: `{${NETWORK}, "SubnetMin": "fd00::"}`, error: '"SubnetMin" must be an IPv4 address' },
    { text: `{${NETWORK}, "Backend": "vxlan"}`, error: '"Backend" must be an object, not "vxlan"' },
    { text: `{${NETWORK}, "Backend": {}}`, error: 'there is no backend ""' },
    {
      text: `{${NETWORK}, "Backend": {"Type": "geneve"}}`,
      error: 'there is no backend "geneve"; "Backend.Type" may be vxlan,',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "constructor"}}`,
      error: 'there is no backend "constructor"',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "ipsec"}}`,
      error: 'the backend "ipsec" is not modelled',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "vxlan", "VNI": 16777216}}`,
      error: '"Backend.VNI" must be an integer from 0 to 16777215',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "vxlan", "Port": 70000}}`,
      error: '"Backend.Port" must be an integer from 0 to 65535, not 70000',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "wireguard", "Mode": "both"}}`,
      error: '"Backend.Mode" must be separate, auto, ipv4 or ipv6, not "both"',
    },
    {
      text: `{${NETWORK}, "Backend": {"Type": "wireguard", "PSK": "secret"}}`,
      error: '"Backend.PSK" must be 32 bytes in base64',
    },
  ])("refuses $text", ({ text, error }) => {
    expect(() => parseNetConf(text)).toThrow(InputError);
    expect(() => parseNetConf(text)).toThrow(error);
  });
});

describe("subnets of the etcd manager", () => {
  const none = { length: undefined, min: undefined, max: undefined };
  test.each([
    {
      network: "10.244.0.0/16",
      given: none,
      length: 24,
      min: "10.244.1.0/24",
      max: "10.244.255.0/24",
    },
    { network: "10.0.0.0/22", given: none, length: 24, min: "10.0.1.0/24", max: "10.0.3.0/24" },
    { network: "10.0.0.0/23", given: none, length: 25, min: "10.0.0.128/25", max: "10.0.1.128/25" },
    {
      network: "10.0.0.0/16",
      given: { ...none, length: 20 },
      length: 20,
      min: "10.0.16.0/20",
      max: "10.0.240.0/20",
    },
    {
      network: "2001:db8:42::/48",
      given: none,
      length: 64,
      min: "2001:db8:42:1::/64",
      max: "2001:db8:42:ffff::/64",
    },
    {
      network: "2001:db8::/64",
      given: none,
      length: 66,
      min: "2001:db8:0:0:4000::/66",
      max: "2001:db8:0:0:c000::/66",
    },
  ])("$network $given", ({ network, given, length, min, max }) => {
    expect(checkSubnets(parsePrefix(network), given)).toEqual({
      length,
      min: parsePrefix(min),
      max: parsePrefix(max),
    });
  });

  test("takes what is given", () => {
    const given = { length: 24, min: parseIp("10.244.10.0"), max: parseIp("10.244.20.0") };
    const { min, max } = checkSubnets(parsePrefix("10.244.0.0/16"), given);
    expect([formatIp(min.address), formatIp(max.address)]).toEqual(["10.244.10.0", "10.244.20.0"]);
  });

  test.each([
    { network: "10.0.0.0/29", given: none, error: "10.0.0.0/29 is too small" },
    {
      network: "10.0.0.0/16",
      given: { ...none, length: 31 },
      error: '"SubnetLen" must be at most 30, not 31',
    },
    {
      network: "10.0.0.0/16",
      given: { ...none, length: 17 },
      error: "leaves 10.0.0.0/16 with less than four subnets",
    },
    {
      network: "10.0.0.0/16",
      given: { ...none, min: parseIp("11.0.0.0") },
      error: '"SubnetMin" is not in the range',
    },
    {
      network: "10.0.0.0/16",
      given: { ...none, max: parseIp("10.0.1.1") },
      error: '"SubnetMax" is not the first address of a /24',
    },
    {
      network: "2001:db8::/126",
      given: none,
      error: "is too small; a network has at most 124 bits",
    },
    {
      network: "2001:db8::/48",
      given: { ...none, max: parseIp("2001:db8::1") },
      error: '"IPv6SubnetMax" is not the first',
    },
  ])("refuses $network $given", ({ network, given, error }) => {
    expect(() => checkSubnets(parsePrefix(network), given)).toThrow(error);
  });
});
