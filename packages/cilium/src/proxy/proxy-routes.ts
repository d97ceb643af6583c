import type { NetNamespace } from "@cnilab/linux";
import { type IpAddress, type IpFamily, Prefix, parseIp } from "@cnilab/net";
import { ROUTE_PROTOCOL } from "../agent/node-routes.ts";
import { DEVICE } from "../names/devices.ts";

// How packets for proxies are delivered here, and what they send gets out (pkg/proxy/routes.go).

/** `RouteTableToProxy`, `RouteTableFromProxy` */
const TO_PROXY_TABLE = 2004;
const FROM_PROXY_TABLE = 2005;
/** `RulePriorityToProxyIngress`, `RulePriorityFromProxy` */
const TO_PROXY_PRIORITY = 9;
const FROM_PROXY_PRIORITY = 10;
const MAGIC_MASK = 0xf00;

/** What has been marked for a proxy is for this machine, whatever its addresses. */
export function installToProxyRoutes(netns: NetNamespace, family: IpFamily): void {
  const all = new Prefix(parseIp(family === 4 ? "0.0.0.0" : "::"), 0);
  netns.addRoute(
    {
      dst: all,
      type: "local",
      dev: netns.loopback,
      table: TO_PROXY_TABLE,
      protocol: ROUTE_PROTOCOL,
    },
    "replace",
  );
  const fwmark = { value: 0x200, mask: MAGIC_MASK };
  replaceRule(netns, family, TO_PROXY_PRIORITY, fwmark, TO_PROXY_TABLE);
}

/** What comes from a proxy of ingress goes by cilium_host, also where routes of the node know a shorter way. */
export function installFromProxyRoutes(
  netns: NetNamespace,
  router: IpAddress,
  family: IpFamily,
  routeMtu: number,
): void {
  const dev = netns.device(DEVICE.host);
  const table = FROM_PROXY_TABLE;
  const fwmark = { value: 0xa00, mask: MAGIC_MASK };
  replaceRule(netns, family, FROM_PROXY_PRIORITY, fwmark, table);
  const type = family === 4 ? "local" : "unicast";
  netns.addRoute(
    { dst: Prefix.host(router), type, dev, table, protocol: ROUTE_PROTOCOL },
    "replace",
  );
  const all = new Prefix(parseIp(family === 4 ? "0.0.0.0" : "::"), 0);
  const mtu = routeMtu > 0 && { mtu: routeMtu };
  netns.addRoute(
    { dst: all, via: router, dev, table, protocol: ROUTE_PROTOCOL, ...mtu },
    "replace",
  );
}

function replaceRule(
  netns: NetNamespace,
  family: IpFamily,
  priority: number,
  fwmark: { readonly value: number; readonly mask: number },
  table: number,
): void {
  const fib = netns.fib(family);
  const isThere = fib.rules.some(
    (rule) =>
      rule.priority === priority &&
      rule.fwmark?.value === fwmark.value &&
      "table" in rule.action &&
      rule.action.table === table,
  );
  if (!isThere) fib.addRule({ priority, fwmark, action: { table } });
}
