import type { Choice } from "./choice.ts";
import { addressOf, netOf, type Plan } from "./plan.ts";

/** A set of some type with elements that flows can meet. */
export function ipset(plan: Plan, choice: Choice): void {
  const netns = choice.pick([...plan.routers, ...plan.routers, ...plan.hosts]);
  const family = choice.family();
  const name = `set${plan.ipsets.length + 1}`;
  const members = plan.ipsets.filter((s) => s.netns === netns && s.dimensions === 1);
  if (members.length > 0 && choice.chance(30)) {
    const lines = choice.several(members).map((s) => `add ${name} ${s.name}`);
    plan.add({ do: "ipset", netns, text: [`create ${name} list:set`, ...lines].join("\n") });
    plan.ipsets.push({ netns, name, family: undefined, dimensions: 1 });
    return;
  }
  const type = choice.pick(TYPES);
  const more = type.startsWith("hash:") ? ` family inet${family === 6 ? "6" : ""}` : "";
  const range =
    type === "bitmap:port" ? " range 1-9000" : type === "bitmap:ip" ? " range 10.0.0.0/20" : "";
  const lines = new Set<string>();
  for (let n = choice.between(1, 4); n > 0; n--) {
    lines.add(`add ${name} ${element(plan, choice, type, type === "bitmap:ip" ? 4 : family)}`);
  }
  plan.add({
    do: "ipset",
    netns,
    text: [`create ${name} ${type}${more}${range}`, ...lines].join("\n"),
  });
  const ofFamily = type === "bitmap:port" ? undefined : type === "bitmap:ip" ? 4 : family;
  plan.ipsets.push({ netns, name, family: ofFamily, dimensions: type.split(",").length });
}

const TYPES = [
  "hash:ip",
  "hash:ip",
  "hash:net",
  "hash:net",
  "hash:ip,port",
  "hash:ip,port,ip",
  "hash:ip,port,net",
  "hash:net,port",
  "hash:net,iface",
  "bitmap:port",
  "bitmap:ip",
] as const;

function element(plan: Plan, choice: Choice, type: string, family: 4 | 6): string {
  const fields = type.slice(type.indexOf(":") + 1).split(",");
  const words = fields.map((field) => {
    const target = choice.pick(plan.attachments);
    switch (field) {
      case "ip":
        return addressOf(family, target);
      case "net":
        return choice.chance(70) ? netOf(family, target) : addressOf(family, target);
      case "iface":
        return target.dev;
      default:
        if (type === "bitmap:port") return choice.pick(["80", "53", "1-1000", "8080"]);
        return choice.pick(["tcp:80", "udp:53", "tcp:8080", "tcp:79-81", "udp:5353"]);
    }
  });
  const nomatch = fields.includes("net") && choice.chance(20) ? " nomatch" : "";
  return `${words.join()}${nomatch}`;
}
