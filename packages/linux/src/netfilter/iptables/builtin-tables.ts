import {
  HOOK_NAMES,
  type HookNumber,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_FILTER,
  NF_IP_PRI_MANGLE,
  NF_IP_PRI_NAT_DST,
  NF_IP_PRI_NAT_SRC,
  NF_IP_PRI_RAW,
  NF_IP_PRI_SECURITY,
} from "../hooks.ts";

/** A table's builtin chains: where they stand in the hooks, in the order in which they are printed. */
export interface BuiltinTable {
  readonly name: string;
  readonly hooks: readonly HookNumber[];
  priority(hook: HookNumber): number;
}

/** In the order in which iptables-save prints them (`enum nft_table_type` of iptables 1.8.9). */
export const BUILTIN_TABLES: readonly BuiltinTable[] = [
  {
    name: "mangle",
    hooks: [
      NF_INET_PRE_ROUTING,
      NF_INET_LOCAL_IN,
      NF_INET_FORWARD,
      NF_INET_LOCAL_OUT,
      NF_INET_POST_ROUTING,
    ],
    priority: () => NF_IP_PRI_MANGLE,
  },
  {
    name: "security",
    hooks: [NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT],
    priority: () => NF_IP_PRI_SECURITY,
  },
  {
    name: "raw",
    hooks: [NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT],
    priority: () => NF_IP_PRI_RAW,
  },
  {
    name: "filter",
    hooks: [NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT],
    priority: () => NF_IP_PRI_FILTER,
  },
  {
    name: "nat",
    hooks: [NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING],
    priority: (hook) =>
      hook === NF_INET_PRE_ROUTING || hook === NF_INET_LOCAL_OUT
        ? NF_IP_PRI_NAT_DST
        : NF_IP_PRI_NAT_SRC,
  },
];

export function builtinTable(name: string): BuiltinTable | undefined {
  return BUILTIN_TABLES.find((table) => table.name === name);
}

/** The hook of a builtin chain; `undefined` for a user chain. */
export function hookOfChain(table: BuiltinTable, chain: string): HookNumber | undefined {
  return table.hooks.find((hook) => HOOK_NAMES[hook] === chain);
}
