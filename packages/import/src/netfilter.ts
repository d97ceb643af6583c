import { InputError } from "@cnilab/core";
import {
  IpsetError,
  IptablesError,
  IpvsadmError,
  type NetNamespace,
  NftablesError,
} from "@cnilab/linux";
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
  addVirtualServers(netns, saved, unmodelled);
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
  const file = busierBackend(saved, program, unmodelled);
  const text = saved.files.text(file) ?? "";
  for (const [, name] of text.matchAll(/--nfacct-name\s+(\S+)/g)) {
    if (netns.nfacct.find(name as string) === undefined) netns.nfacct.add(name as string);
  }
  if (text.trim() !== "") {
    restoreLines(text, saved.files.path(file), {
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
  const prefix = family === 4 ? "ip" : "ip6";
  const own = saved.files.text(`${program}.txt`) ?? "";
  return [...own.matchAll(/^\*(\S+)$/gm)].map(([, table]) => `${prefix} ${table}`);
}

/** The file with more rules: a kernel may have iptables' old tables beside those in nf_tables. */
function busierBackend(saved: SavedNamespace, program: string, unmodelled: Unmodelled): string {
  const [newer, older] = [`${program}.txt`, `${program}-legacy.txt`];
  const rules = (file: string): number =>
    (saved.files.text(file) ?? "").match(/^(\[\d+:\d+\] )?-A /gm)?.length ?? 0;
  if (rules(older) === 0) return newer;
  const [chosen, other] = rules(older) > rules(newer) ? [older, newer] : [newer, older];
  if (rules(other) > 0) {
    unmodelled.note(saved.node, "rules of iptables' other backend, left out", other);
  }
  return chosen;
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

/** `ipvsadm -Sn`. */
function addVirtualServers(
  netns: NetNamespace,
  saved: SavedNamespace,
  unmodelled: Unmodelled,
): void {
  const file = "ipvs.txt";
  const text = saved.files.text(file) ?? "";
  if (text.trim() === "") return;
  restoreLines(text, saved.files.path(file), {
    restore: (lines) => {
      netns.ipvs.flush();
      netns.ipvs.restore(lines);
    },
    lineOf: (error) => (error instanceof IpvsadmError ? error.line : undefined),
    drops: (line) => {
      if (!/^-[Aa] -[tuf] \S/.test(line)) return undefined;
      unmodelled.note(saved.node, "IPVS servers, left out", `"${short(line)}"`);
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
    error instanceof IptablesError ||
    error instanceof IpsetError ||
    error instanceof IpvsadmError ||
    error instanceof NftablesError
  );
}

function oneLine(message: string): string {
  return message.trim().replaceAll(/\s*\n\s*/g, " ");
}
