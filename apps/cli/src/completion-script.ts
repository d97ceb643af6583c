import type { Argument, Command, Option } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** Words that a command takes beside those that it knows itself, by its name. */
export type CommandWords = Readonly<Record<string, readonly string[]>>;

/** A script for a shell out of the tree of commands; where it knows nothing, the shell offers files. */
export function completionScript(shell: Shell, program: Command, more: CommandWords = {}): string {
  switch (shell) {
    case "bash":
      return `${bashFunction(program, more)}complete -o default -F _cnilab cnilab\n`;
    case "zsh":
      // zsh runs bash's completion functions.
      return `autoload -Uz compinit bashcompinit && compinit && bashcompinit\n${bashFunction(
        program,
        more,
      )}complete -o default -F _cnilab cnilab\n`;
    case "fish":
      return fishLines(program, more).join("\n");
  }
}

function bashFunction(program: Command, more: CommandWords): string {
  const values: string[] = [];
  const words: string[] = [];
  for (const command of program.commands) {
    const anything: string[] = [];
    for (const option of command.options.filter((o) => o.required)) {
      const patterns = flagsOf(option).map((flag) => `"${command.name()} ${flag}"`);
      if (option.argChoices) values.push(bashCase(patterns, option.argChoices));
      else anything.push(...patterns);
    }
    if (anything.length > 0) values.push(bashCase(anything, []));
    words.push(bashCase([command.name()], [...nextWords(command, more), ...longFlags(command)]));
  }
  const names = program.commands.map((c) => c.name());
  return `_cnilab() {
  local words= current=\${COMP_WORDS[COMP_CWORD]}
  if ((COMP_CWORD == 1)); then
    words="${names.join(" ")}"
  else
    case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${values.join("\n")}
      *) case "\${COMP_WORDS[1]}" in
${words.join("\n")}
      esac ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
`;
}

function bashCase(patterns: readonly string[], words: readonly string[]): string {
  return `      ${patterns.join("|")}) words="${words.join(" ")}" ;;`;
}

function fishLines(program: Command, more: CommandWords): string[] {
  const lines = program.commands.map(
    (c) =>
      `complete -c cnilab -n __fish_use_subcommand -f -a ${c.name()} -d ${quoted(c.description())}`,
  );
  for (const command of program.commands) {
    const within = `complete -c cnilab -n '__fish_seen_subcommand_from ${command.name()}'`;
    for (const argument of nextWords(command, more)) lines.push(`${within} -f -a ${argument}`);
    for (const { short, long, argChoices, required, description } of command.options) {
      const flag = `${short ? ` -s ${short.slice(1)}` : ""}${long ? ` -l ${long.slice(2)}` : ""}`;
      const value = argChoices ? ` -x -a '${argChoices.join(" ")}'` : required ? " -r" : " -f";
      lines.push(`${within}${flag}${value} -d ${quoted(description)}`);
    }
  }
  return lines;
}

function nextWords(command: Command, more: CommandWords): readonly string[] {
  const choices = command.registeredArguments.flatMap((a: Argument) => a.argChoices ?? []);
  return [...command.commands.map((c) => c.name()), ...choices, ...(more[command.name()] ?? [])];
}

function flagsOf({ short, long }: Option): string[] {
  return [short, long].filter((flag) => flag !== undefined && flag !== null);
}

function longFlags(command: Command): string[] {
  return [...command.options.flatMap(({ long }) => long ?? []), "--help"];
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
