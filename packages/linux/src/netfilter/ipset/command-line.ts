import { IpsetError, syntaxError } from "./ipset-error.ts";

/** The commands by all their spellings. */
const COMMANDS: Readonly<Record<string, IpsetCommand>> = {
  create: "create",
  n: "create",
  "-N": "create",
  "--create": "create",
  add: "add",
  "-A": "add",
  "--add": "add",
  del: "del",
  "-D": "del",
  "--del": "del",
  test: "test",
  "-T": "test",
  "--test": "test",
  destroy: "destroy",
  x: "destroy",
  "-X": "destroy",
  "--destroy": "destroy",
  list: "list",
  "-L": "list",
  "--list": "list",
  save: "save",
  "-S": "save",
  "--save": "save",
  flush: "flush",
  "-F": "flush",
  "--flush": "flush",
  rename: "rename",
  e: "rename",
  "-E": "rename",
  "--rename": "rename",
  swap: "swap",
  w: "swap",
  "-W": "swap",
  "--swap": "swap",
};

export type IpsetCommand =
  | "create"
  | "add"
  | "del"
  | "test"
  | "destroy"
  | "list"
  | "save"
  | "flush"
  | "rename"
  | "swap";

/** A command with what follows it, apart from options that go for all commands. */
export interface CommandLine {
  readonly command: IpsetCommand;
  readonly words: readonly string[];
  readonly exist: boolean;
  /** `list -t`: without members. */
  readonly terse: boolean;
  /** `list -n`. */
  readonly namesOnly: boolean;
}

/** How many words a command must have. */
const WORDS: Readonly<Record<IpsetCommand, number>> = {
  create: 2,
  add: 2,
  del: 2,
  test: 2,
  rename: 2,
  swap: 2,
  destroy: 0,
  list: 0,
  save: 0,
  flush: 0,
};

/** Takes a line of `restore` apart, or what stands behind `ipset`. @throws IpsetError */
export function parseCommandLine(line: string): CommandLine {
  const flags = new Set<string>();
  const words: string[] = [];
  for (const word of splitWords(line)) {
    const flag = FLAGS[word];
    if (flag === undefined) words.push(word);
    else flags.add(flag);
  }
  const name = words.shift();
  if (name === undefined) throw usage("No command specified.");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw usage(`No command specified: unknown argument ${name}`);
  const missing = WORDS[command] - words.length;
  if (missing > 0) {
    const which = words.length === 0 ? "" : "second ";
    throw usage(`Missing ${which}mandatory argument to command ${command}`);
  }
  return {
    command,
    words,
    exist: flags.has("exist"),
    terse: flags.has("terse"),
    namesOnly: flags.has("name"),
  };
}

const FLAGS: Readonly<Record<string, string>> = {
  "-exist": "exist",
  "--exist": "exist",
  "-!": "exist",
  "-terse": "terse",
  "-t": "terse",
  "-name": "name",
  "-n": "name",
  "-sorted": "sorted",
  "-s": "sorted",
  "-quiet": "quiet",
  "-q": "quiet",
  "-resolve": "resolve",
  "-r": "resolve",
};

/** Words between white space; quotes keep it. */
function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const [, quoted, word] of line.matchAll(/"([^"]*)"(?=\s|$)|(\S+)/g)) {
    if (quoted === undefined && word?.startsWith('"') === true) {
      throw usage("Missing mandatory argument of option `comment'");
    }
    words.push(quoted ?? (word as string));
  }
  return words;
}

/** A command that is not put as the tool wants it. */
export function usage(what: string): IpsetError {
  return new IpsetError(`${what}\nTry \`ipset help' for more information.`);
}

/** Options and their values in the order in which they were written. */
export class OptionWords {
  readonly #words: readonly string[];
  #at = 0;

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  next(): string | undefined {
    return this.#words[this.#at++];
  }

  /** What must follow an option. */
  value(option: string): string {
    const value = this.next();
    if (value === undefined) throw usage(`Missing mandatory argument of option \`${option}'`);
    return value;
  }
}

export function unknownArgument(word: string): IpsetError {
  return usage(`Unknown argument: \`${word}'`);
}

export function checkComment(comment: string): string {
  if (comment.includes('"')) throw syntaxError('" character is not permitted in comments');
  if (comment.length > 255) {
    throw syntaxError("Comment is longer than the maximum allowed 255 characters");
  }
  return comment;
}
