import { formatIp } from "@cnilab/net";
import type { Speaker } from "../../src/index.ts";

/** What both sides are compared by: one text a route, sorted; the best one of its prefix with a star. */
export function modelTable(speaker: Speaker): string[] {
  const lines: string[] = [];
  for (const { prefix, routes } of speaker.table.entries()) {
    routes.forEach(({ sender, attributes, hostEntry, destination, preference }, i) => {
      const hops =
        hostEntry === undefined
          ? destination?.kind === "hops"
            ? destination.hops
            : undefined
          : hostEntry.hops;
      const kind =
        hops !== undefined
          ? "unicast"
          : hostEntry === undefined
            ? destination?.kind
            : hostEntry.blackhole
              ? "blackhole"
              : "unreachable";
      const said =
        attributes === undefined
          ? []
          : [
              `path ${attributes.asPath.join(" ")}`,
              `next-hop ${formatIp(attributes.nextHop)}`,
              ...(attributes.med === undefined ? [] : [`med ${attributes.med}`]),
              `pref ${attributes.localPref}`,
              ...[...attributes.communities]
                .sort((x, y) => x - y)
                .map((c) => `(${c >>> 16},${c & 0xffff})`),
              ...(attributes.originatorId === undefined
                ? []
                : [`originator ${formatIp(attributes.originatorId)}`]),
              ...(attributes.clusterList.length === 0
                ? []
                : [`clusters ${attributes.clusterList.map(formatIp).join(" ")}`]),
              ...attributes.largeCommunities.map((c) => `(${c.join(", ")})`).sort(),
            ];
      lines.push(
        [`${prefix}`, i === 0 ? "*" : "-", kind, sender.name, preference, ...said].join(" "),
      );
    });
  }
  return lines.sort();
}

/** The same of `birdc show route all`. */
export function birdTable(text: string): string[] {
  const lines: string[] = [];
  let prefix = "";
  let current: string[] = [];
  const flush = () => {
    if (current.length > 0) lines.push(current.join(" "));
    current = [];
  };
  for (const line of text.split("\n")) {
    const head =
      /^(\S+)?\s+(unicast|blackhole|unreachable|prohibit) \[(\S+) [^\]]*\](?: (\*))? \((\d+)/.exec(
        line,
      );
    if (head !== null) {
      flush();
      prefix = head[1] ?? prefix;
      current = [prefix, head[4] ?? "-", head[2] as string, head[3] as string, head[5] as string];
      continue;
    }
    const attribute = /^\tBGP\.(\S+): ?(.*)$/.exec(line);
    if (attribute === null) continue;
    const [, name, value = ""] = attribute;
    current.push(...(ATTRIBUTES[name as string]?.(value.trim()) ?? []));
  }
  flush();
  return lines.sort();
}

const ATTRIBUTES: Readonly<Record<string, (value: string) => string[]>> = {
  as_path: (value) => [`path ${value}`],
  next_hop: (value) => [`next-hop ${value.split(" ")[0]}`],
  local_pref: (value) => [`pref ${value}`],
  med: (value) => [`med ${value}`],
  community: (value) => value.split(" ").sort((x, y) => number(x) - number(y)),
  large_community: (value) => [...(value.match(/\([^)]*\)/g) ?? [])].sort(),
  originator_id: (value) => [`originator ${value}`],
  cluster_list: (value) => [`clusters ${value}`],
};

function number(community: string): number {
  const [a = 0, b = 0] = community.slice(1, -1).split(",").map(Number);
  return a * 65536 + b;
}

/** Routes that BIRD put into the kernel, as `ip route show proto bird`. */
export function modelKernel(speaker: Speaker): string[] {
  const lines: string[] = [];
  for (const route of speaker.netns.fib4.main.routes()) {
    if (route.protocol !== "bird") continue;
    const hops = route.nexthops.map((n) =>
      n.gateway === undefined ? "link" : formatIp(n.gateway),
    );
    const type = route.type === "unicast" ? "" : `${route.type} `;
    const via = route.type === "unicast" ? hops.sort().join(",") : "";
    lines.push(`${type}${route.prefix} ${via} ${route.metric}`);
  }
  return lines.sort();
}

interface JsonRoute {
  readonly type?: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly metric?: number;
  readonly nexthops?: readonly { readonly gateway: string }[];
}

/** The same of `ip -j route show proto bird`. */
export function realKernel(json: string): string[] {
  const routes = JSON.parse(json === "" ? "[]" : json) as JsonRoute[];
  return routes
    .map(({ type, dst, gateway, metric = 0, nexthops }) => {
      const prefix = dst.includes("/") ? dst : `${dst}/32`;
      const hops = nexthops?.map((n) => n.gateway) ?? [gateway ?? "link"];
      if (type !== undefined) return `${type} ${prefix}  ${metric}`;
      return `${prefix} ${hops.sort().join(",")} ${metric}`;
    })
    .sort();
}
