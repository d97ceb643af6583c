import { expect, test } from "vitest";
import { failureOf, network, TestNode } from "../test/node.ts";

const env = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\n";
const list = network({ type: "flannel", delegate: { hairpinMode: true } });
const FILE = "/run/flannel/subnet.env";

test.each([
  [undefined, "open /run/flannel/subnet.env: no such file or directory"],
  [
    "",
    "/run/flannel/subnet.env is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ",
  ],
  [env, "/run/flannel/subnet.env is missing FLANNEL_IPMASQ"],
  [`${env}FLANNEL_SUBNET=x\n`, "invalid CIDR address: x"],
  [`${env}FLANNEL_MTU=big\n`, 'strconv.ParseUint: parsing "big": invalid syntax'],
])("subnet.env with %j is refused", (text, message) => {
  const node = new TestNode();
  if (text !== undefined) node.kernel.files.write(FILE, text);
  expect(failureOf(() => node.add(list))).toBe(
    `999 plugin type="flannel" failed (add): failed to load flannel 'subnet.env' file: ${message}. Check the flannel pod log for this node.`,
  );
});

test.each([
  [{ type: 1 }, "'delegate' dictionary, if present, must have (string) 'type' field"],
  [{ name: "a" }, "'delegate' dictionary must not have 'name' field, it'll be set by flannel"],
  [{ ipam: {} }, "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel"],
])("a delegate with %j is refused", (delegate, message) => {
  const node = new TestNode();
  node.kernel.files.write(FILE, `${env}FLANNEL_IPMASQ=true\n`);
  expect(failureOf(() => node.add(network({ type: "flannel", delegate })))).toBe(
    `999 plugin type="flannel" failed (add): ${message}`,
  );
});

test("the delegate's configuration is kept for DEL, which needs no subnet.env", () => {
  const node = new TestNode();
  const { files } = node.kernel;
  files.write(FILE, `${env}FLANNEL_IPMASQ=false\n`);
  node.add(list);
  expect(JSON.parse(files.read("/var/lib/cni/flannel/c1") ?? "")).toEqual({
    cniVersion: "1.0.0",
    hairpinMode: true,
    ipMasq: true,
    ipam: {
      ranges: [[{ subnet: "10.244.1.0/24" }]],
      routes: [{ dst: "10.244.0.0/16" }],
      type: "host-local",
    },
    isGateway: true,
    mtu: 1450,
    name: "net1",
    type: "bridge",
  });
  files.remove(FILE);
  node.del(list);
  node.del(list);
  expect(files.list("/var/lib/cni/flannel")).toEqual([]);
  expect(node.kernel.findNamespace("c1")?.findDevice("eth0")).toBeUndefined();
});

test("a lease that changes reaches the next pod", () => {
  const node = new TestNode();
  node.kernel.files.write(FILE, `${env}FLANNEL_IPMASQ=true\n`);
  node.add(list, "c1");
  node.kernel.files.write(FILE, `${env}FLANNEL_SUBNET=10.244.7.1/24\nFLANNEL_IPMASQ=true\n`);
  const force = network({ type: "flannel", delegate: { forceAddress: true } });
  expect(node.add(force, "c2").ips?.[0]?.address).toBe("10.244.7.2/24");
});
