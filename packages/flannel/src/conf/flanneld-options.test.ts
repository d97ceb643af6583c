import { InputError } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { DEFAULT_OPTIONS, parseFlanneldArgs } from "./flanneld-options.ts";

test.each([
  { args: [], set: {} },
  { args: ["--ip-masq", "--kube-subnet-mgr"], set: { ipMasq: true, kubeSubnetMgr: true } },
  { args: ["-ip-masq=true"], set: { ipMasq: true } },
  { args: ["--ip-masq=f"], set: { ipMasq: false } },
  // a flag without a value does not take the next argument
  { args: ["--ip-masq", "--iface", "eth1"], set: { ipMasq: true, iface: ["eth1"] } },
  { args: ["--iface=eth0", "--iface=10.0.0.1"], set: { iface: ["eth0", "10.0.0.1"] } },
  { args: ["--iface-regex=^ens[0-9]+$"], set: { ifaceRegex: ["^ens[0-9]+$"] } },
  { args: ["--iface-can-reach", "192.0.2.1"], set: { ifaceCanReach: parseIp("192.0.2.1") } },
  { args: ["--public-ip=203.0.113.7"], set: { publicIp: parseIp("203.0.113.7") } },
  { args: ["--iptables-resync=30"], set: { iptablesResyncSeconds: 30 } },
  { args: ["--iptables-forward-rules=false"], set: { iptablesForwardRules: false } },
  { args: ["--ip-blackhole-route"], set: { ipBlackholeRoute: true } },
  { args: ["--etcd-endpoints=http://10.0.0.1:2379", "-v", "5"], set: {} },
])("$args", ({ args, set }) => {
  expect(parseFlanneldArgs(args)).toEqual({ ...DEFAULT_OPTIONS, ...set });
});

test.each([
  { args: ["eth0"], error: '"eth0" is not a flag of flanneld' },
  { args: ["--masq"], error: "flanneld has no flag --masq" },
  { args: ["--constructor=1"], error: "flanneld has no flag --constructor" },
  { args: ["--iface"], error: "flanneld's flag --iface needs a value" },
  { args: ["--ip-masq=maybe"], error: '--ip-masq must be true or false, not "maybe"' },
  { args: ["--iptables-resync=0"], error: '--iptables-resync must be 1 to 86400, not "0"' },
  { args: ["--subnet-lease-renew-margin=1440"], error: "must be 1 to 1439" },
  { args: ["--public-ip=host"], error: '--public-ip must be an address, not "host"' },
  { args: ["--iface-regex=["], error: "--iface-regex: Invalid regular expression" },
])("refuses $args", ({ args, error }) => {
  expect(() => parseFlanneldArgs(args)).toThrow(InputError);
  expect(() => parseFlanneldArgs(args)).toThrow(error);
});
