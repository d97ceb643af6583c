import type { Directive } from "./corefile.ts";
import { CorefileError, type Token } from "./corefile-error.ts";

/** One property between a plugin's braces: a line, and what stands in braces of its own. */
export interface Property {
  readonly name: Token;
  readonly args: readonly Token[];
}

/** One use of a plugin, taken apart into the words on its line and the properties between its braces. */
export class PluginArguments {
  readonly name: Token;
  readonly args: readonly Token[];
  readonly properties: readonly Property[];

  /** @throws CorefileError where a brace is missing or out of place */
  constructor({ name, tokens }: Directive) {
    this.name = name;
    const open = tokens.findIndex(({ text }, i) => i > 0 && text === "{");
    this.args = tokens.slice(1, open < 0 ? tokens.length : open);
    this.properties = open < 0 ? [] : properties(name, tokens.slice(open + 1));
  }

  /** The text of its arguments. */
  get words(): string[] {
    return this.args.map(({ text }) => text);
  }

  /** An error about this use, in the words that CoreDNS begins with. */
  error(message: string, at: Token = this.name): CorefileError {
    return new CorefileError(`plugin/${this.name.text}: ${message}`, at);
  }

  /** An error about a property that the plugin does not have. */
  unknown(property: Property, known: readonly string[]): CorefileError {
    return this.error(
      `unknown property '${property.name.text}'; it has ${known.join(", ")}`,
      property.name,
    );
  }

  /** The property's arguments, which must be so many. */
  argsOf(property: Property, least: number, most: number = least): string[] {
    const { length } = property.args;
    if (length < least || length > most) {
      const wanted =
        least === most
          ? `${least}`
          : most === Number.POSITIVE_INFINITY
            ? `at least ${least}`
            : `${least} to ${most}`;
      throw this.error(
        `wrong argument count: '${property.name.text}' takes ${wanted}, not ${length}`,
        property.name,
      );
    }
    return property.args.map(({ text }) => text);
  }

  /** A property's whole number between two bounds. */
  number(property: Property, text: string, least: number, most: number): number {
    const value = /^-?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw this.error(
        `${property.name.text} must be a whole number from ${least} to ${most}, not "${text}"`,
        property.name,
      );
    }
    return value;
  }
}

function properties(plugin: Token, tokens: readonly Token[]): Property[] {
  const out: { name: Token; args: Token[] }[] = [];
  let last: Token | undefined;
  let depth = 1;
  for (const token of tokens) {
    if (token.text === "}" && --depth === 0) return out;
    if (token.text === "{") depth++;
    const current = out.at(-1);
    const continues =
      depth > 1 || token.text === "}" || (last !== undefined && follows(last, token));
    if (current !== undefined && continues) current.args.push(token);
    else out.push({ name: token, args: [] });
    last = token;
  }
  throw new CorefileError(`'${plugin.text}' has a '{' without its '}'`, plugin);
}

/** Whether the second token stands on the line on which the first ends. */
function follows(first: Token, second: Token): boolean {
  const breaks = first.text.split("\n").length - 1;
  return first.file === second.file && first.line + breaks === second.line;
}
