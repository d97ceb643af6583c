import { InputError } from "@cnilab/core";
import { IpsetError, IptablesError, type NetNamespace, NftablesError } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { short } from "./fields.ts";
import { withoutTables } from "./nft-tables.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** More rules than this that the model lacks, and a walk would mean nothing. */
const MOST_LEFT_OUT = 200;

/** Sets first: rules name them. @throws InputError */
export function addNetfilter(
  netns: NetNamespace,
  saved: SavedNamespace,
  unmodelled: Unmodelled,
): void {
  addSets(netns, saved, unmodelled);
  const tables = new Set<string>();
  for (const family of [4, 6] as const) {
    for (const table of addIptables(netns, saved, family, unmodelled)) tables.add(table);
  }
  addNftables(netns, saved, tables, unmodelled);
}

/** `ipset save`. */
function addSets(netns: NetNamespace, saved: SavedNamespace, unmodelled: Unmodelled): void {
  const file = "ipset.txt";
  const text = saved.files.text(file) ?? "";
  const leftOut = new Set<string>();
  restoreLines(text, saved.files.path(file), {
    restore: (lines) => {
      for (const set of [...netns.ipsets.all].reverse()) netns.ipsets.run(`destroy ${set.name}`);
      netns.ipsets.restore(lines);
    },
    lineOf: (error) => (error instanceof IpsetError ? error.line : undefined),
    drops: (line) => {
      const [, command, name = ""] = /^(create|add) (\S+)/.exec(line) ?? [];
      if (command === undefined) return undefined;
      unmodelled.note(saved.node, "IP sets, or entries of them, left out", name);
      if (command === "create") leftOut.add(name);
      return (other) => other === line || leftOut.has(/^add (\S+)/.exec(other)?.[1] ?? "");
    },
  });
}

/** `iptables-save -c`. @returns the tables, as `ip filter` */
function addIptables(
  netns: NetNamespace,
  saved: SavedNamespace,
  family: IpFamily,
  unmodelled: Unmodelled,
): string[] {
  const program = family === 4 ? "iptables" : "ip6tables";
  const text = saved.files.text(`${program}.txt`) ?? "";
  for (const [, name] of text.matchAll(/--nfacct-name\s+(\S+)/g)) {
    if (netns.nfacct.find(name as string) === undefined) netns.nfacct.add(name as string);
  }
  if (text.trim() !== "") {
    restoreLines(text, saved.files.path(`${program}.txt`), {
      restore: (lines) => netns.iptables(family).restore(lines, { counters: true }),
      lineOf: (error) => (error instanceof IptablesError ? error.line : undefined),
      drops: (line) => {
        const rule = /^(?:\[\d+:\d+\] )?-A (\S+ .*)$/.exec(line)?.[1];
        if (rule === undefined) return undefined;
        unmodelled.note(saved.node, `${program} rules, left out`, `"${short(rule)}"`);
        return (other) => other === line;
      },
    });
  }
  if (saved.files.has(`${program}-legacy.txt`)) {
    const legacy = saved.files.text(`${program}-legacy.txt`) ?? "";
    if (/^(\[\d+:\d+\] )?-A /m.test(legacy)) {
      unmodelled.note(saved.node, "rules of the older iptables beside those of the newer", program);
    }
  }
  const prefix = family === 4 ? "ip" : "ip6";
  return [...text.matchAll(/^\*(\S+)$/gm)].map(([, table]) => `${prefix} ${table}`);
}

/** `nft list ruleset`, without the tables that are iptables'. */
function addNftables(
  netns: NetNamespace,
  saved: SavedNamespace,
  iptables: ReadonlySet<string>,
  unmodelled: Unmodelled,
): void {
  const file = "nft.txt";
  const text = withoutTables(saved.files.text(file) ?? "", iptables);
  if (text.trim() === "") return;
  restoreLines(text, saved.files.path(file), {
    restore: (lines) => netns.nftables.apply(lines),
    lineOf: (error) => (error instanceof NftablesError ? error.location.line : undefined),
    drops: (line) => {
      // A rule stands in a chain, two tabs deep; what else is refused is no listing of nft's.
      if (!/^\t\t[a-z@]/.test(line) || line.startsWith("\t\ttype ")) return undefined;
      unmodelled.note(saved.node, "nft rules, left out", `"${short(line.trim())}"`);
      return (other) => other === line;
    },
  });
}

/** How text is given to a tool of the model, and what may be left out of it. */
interface Restoring {
  restore(text: string): void;
  /** Line that an error is about, from 1 on; `undefined` for what is no such error. */
  lineOf(error: unknown): number | undefined;
  /** Which lines go where this one is refused; `undefined` where it cannot be left out. */
  drops(line: string): ((other: string) => boolean) | undefined;
}

/** Restores what the model can have: what the real kernel took and this one refuses is left out, and told. */
function restoreLines(text: string, path: string, how: Restoring): void {
  const lines = text.split("\n");
  for (let leftOut = 0; ; leftOut++) {
    try {
      how.restore(lines.join("\n"));
      return;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const number = how.lineOf(error);
      const line = lines[(number ?? 0) - 1];
      const drops = line === undefined ? undefined : how.drops(line);
      const where = number === undefined ? path : `${path}:${number}`;
      if (drops === undefined)
        throw new InputError(oneLine(error.message), where, { cause: error });
      if (leftOut >= MOST_LEFT_OUT) {
        throw new InputError(
          `more than ${MOST_LEFT_OUT} lines are not modelled, the last for: ${oneLine(error.message)}`,
          where,
        );
      }
      // Empty lines keep the numbers of the others.
      lines.forEach((other, i) => {
        if (drops(other)) lines[i] = "";
      });
    }
  }
}

function isRefusal(error: unknown): error is Error {
  return (
    error instanceof IptablesError || error instanceof IpsetError || error instanceof NftablesError
  );
}

function oneLine(message: string): string {
  return message.trim().replaceAll(/\s*\n\s*/g, " ");
}
