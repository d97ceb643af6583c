import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/** Options of these commands that take whole numbers. */
const NUMBERS = ["seconds", "seed", "topologies", "first", "flows", "at-once", "shrink-seconds"];

type Values<T extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: T; allowNegative: true }>
>["values"];

/** Reads the arguments of a command of this folder; ends the program with one line where they are none. */
export function readOptions<const T extends ParseArgsOptionsConfig>(
  command: string,
  options: T,
): Values<T> {
  if (process.argv.includes("--help")) {
    console.log(usage(command, options));
    process.exit(0);
  }
  try {
    const { values } = parseArgs({ options, allowNegative: true });
    for (const [name, value] of Object.entries(values)) {
      if (NUMBERS.includes(name) && !/^\d+$/.test(String(value))) {
        throw new Error(`--${name} takes a whole number, not "${value}"`);
      }
    }
    return values;
  } catch (error) {
    console.error(`${command}: ${(error as Error).message}\n${usage(command, options)}`);
    process.exit(2);
  }
}

function usage(command: string, options: ParseArgsOptionsConfig): string {
  const each = Object.entries(options).map(([name, { type, default: preset }]) => {
    if (type === "boolean") return `[--${preset === true ? "no-" : ""}${name}]`;
    return `[--${name} ${preset || (NUMBERS.includes(name) ? "N" : "TEXT")}]`;
  });
  return `npm run ${command} -- ${each.join(" ")}`;
}
