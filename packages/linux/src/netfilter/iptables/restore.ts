import type { Origin } from "@cnilab/core";
import { Complaint, parameterProblem } from "./iptables-error.ts";
import type { TableEdit } from "./table-edit.ts";
import { splitWords } from "./words.ts";

export interface RestoreOptions {
  /** `-n`: leaves alone what the text does not name. */
  readonly noflush?: boolean;
  /** `-c`: takes over the counts in brackets. */
  readonly counters?: boolean;
  /** What caused the rules. */
  readonly origin?: Origin | undefined;
}

/** Opens a table for the lines that follow. @returns `undefined` where there is no such table */
export type OpenTable = (name: string) => TableEdit | undefined;

/** Meets a problem on a line of the text. */
export class RestoreProblem extends Error {
  override readonly name = "RestoreProblem";
  readonly complaint: Complaint;
  readonly line: number;

  constructor(complaint: Complaint, line: number) {
    super(complaint.message);
    this.complaint = complaint;
    this.line = line;
  }
}

/**
 * Reads iptables-restore text. Every table takes effect at its COMMIT line, or not at all.
 * @throws RestoreProblem
 */
export function restore(
  text: string,
  options: RestoreOptions,
  program: string,
  open: OpenTable,
): void {
  let edit: TableEdit | undefined;
  let number = 0;
  try {
    for (const raw of text.split("\n")) {
      number++;
      const line = raw.trim();
      if (line === "" || line.startsWith("#")) continue;
      if (edit !== undefined) edit.line = number;
      if (edit === undefined) {
        edit = openTable(line, number, program, open);
      } else if (line === "COMMIT") {
        edit.verify();
        edit.commit();
        edit = undefined;
      } else if (line.startsWith(":")) {
        declareChain(edit, line, number, program, options);
      } else {
        runCommand(edit, line, options);
      }
    }
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    throw new RestoreProblem(error, error.kind === "kernel" ? (edit?.line ?? number) : number);
  }
  if (edit !== undefined) {
    throw new RestoreProblem(new Complaint("commit", `COMMIT expected at line ${number}`), number);
  }
}

function openTable(line: string, number: number, program: string, open: OpenTable): TableEdit {
  if (!line.startsWith("*")) throw new Complaint("line", "");
  const name = line.slice(1).split(/\s/, 1)[0] as string;
  const edit = open(name);
  if (edit === undefined) {
    throw parameterProblem(`${program}: line ${number} table name '${name}' invalid`);
  }
  return edit;
}

function declareChain(
  edit: TableEdit,
  line: string,
  number: number,
  program: string,
  options: RestoreOptions,
): void {
  const [name = "", policy, count] = line.slice(1).split(/\s+/);
  if (name === "") throw parameterProblem(`${program}: line ${number} chain name invalid`);
  if (policy === undefined) throw parameterProblem(`${program}: line ${number} policy invalid`);
  const counted = options.counters && count !== undefined ? parseCount(count) : undefined;
  if (options.counters && count !== undefined && counted === undefined) {
    throw parameterProblem(`invalid policy counters for chain '${name}'`);
  }
  edit.declare(name, policy, counted);
}

/** `[PACKETS:BYTES]` */
function parseCount(text: string): { packets: number; bytes: number } | undefined {
  const found = /^\[([0-9]+):([0-9]+)\]$/.exec(text);
  return found === null ? undefined : { packets: Number(found[1]), bytes: Number(found[2]) };
}

const COMMANDS: Readonly<Record<string, string>> = {
  "--append": "-A",
  "--insert": "-I",
  "--replace": "-R",
  "--delete": "-D",
  "--new-chain": "-N",
  "--new": "-N",
  "--delete-chain": "-X",
  "--flush": "-F",
  "--policy": "-P",
  "--zero": "-Z",
  "--rename-chain": "-E",
};

/** Commands that can do without a chain. */
const FOR_ALL_CHAINS = ["-X", "-F", "-Z"];

function runCommand(edit: TableEdit, line: string, options: RestoreOptions): void {
  const words = splitWords(line);
  const counted = parseCount(words[0] ?? "");
  if (counted !== undefined) words.shift();
  const given = words.shift() ?? "";
  const command = COMMANDS[given] ?? given;
  if (command === "-t" || command === "--table") {
    throw parameterProblem("The -t option cannot be used in iptables-restore.\n");
  }
  if (!given.startsWith("-")) throw new Complaint("argument", `Bad argument \`${given}'`);
  const chain = words.shift();
  if (chain === undefined && !FOR_ALL_CHAINS.includes(command)) {
    throw parameterProblem(`option "${given}" requires an argument`);
  }
  if (words.includes("-t") || words.includes("--table")) {
    throw parameterProblem("The -t option cannot be used in iptables-restore.\n");
  }
  if (counted !== undefined && options.counters) {
    words.unshift("-c", String(counted.packets), String(counted.bytes));
  }
  chainCommand(edit, command, chain, words, options.origin);
}

function chainCommand(
  edit: TableEdit,
  command: string,
  chain: string | undefined,
  words: string[],
  origin: Origin | undefined,
): void {
  if (chain === undefined || ["-X", "-F", "-Z", "-N"].includes(command)) {
    if (words[0] !== undefined) throw new Complaint("argument", `Bad argument \`${words[0]}'`);
    if (command === "-N") edit.newChain(chain as string);
    else if (command === "-X") edit.deleteChain(chain);
    else if (command === "-F") edit.flush(chain);
    else edit.zero(chain);
    return;
  }
  switch (command) {
    case "-A":
      edit.append(chain, words, origin);
      return;
    case "-I": {
      const position = takePosition(words) ?? 1;
      edit.insert(chain, words, position, origin);
      return;
    }
    case "-R": {
      const position = takePosition(words);
      if (position === undefined) throw parameterProblem("-R requires a rule number");
      edit.replace(chain, words, position, origin);
      return;
    }
    case "-D": {
      const position = words.length === 1 ? takePosition(words) : undefined;
      if (position === undefined) edit.delete(chain, words);
      else edit.deleteAt(chain, position);
      return;
    }
    case "-P":
      edit.setPolicy(chain, words[0] ?? "");
      return;
    case "-E":
      edit.renameChain(chain, words[0] ?? "");
      return;
    default:
      throw parameterProblem(`unknown option "${command}"`);
  }
}

/** Takes a rule number off the words, if one stands first. */
function takePosition(words: string[]): number | undefined {
  if (!/^[0-9]+$/.test(words[0] ?? "")) return undefined;
  return Number(words.shift());
}
