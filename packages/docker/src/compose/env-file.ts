import { InputError } from "@cnilab/core";
import { type Environment, InterpolationError, interpolate, own } from "./interpolation.ts";

const LINE = /^(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:([=:])(.*))?$/s;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/**
 * Reads a `.env` file: `NAME=value` a line, plain, in single quotes (taken as it stands) or in double quotes, `#` for comments, `export` before
 * names; a name alone is that of the environment (compose-go dotenv).
 * @param environment of the caller: values can refer to it, and to lines above
 * @throws InputError
 */
export function parseEnvFile(text: string, source: string, environment: Environment): Environment {
  const values: Record<string, string> = Object.create(null);
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const first = i + 1;
    const where = `${source}:${first}`;
    let line = (lines[i] as string).trim();
    if (line === "" || line.startsWith("#")) continue;
    // A quoted value may go on in the next lines.
    const quote = /[=:]\s*(["'])/.exec(line)?.[1];
    const from = quote === undefined ? 0 : line.indexOf(quote) + 1;
    while (quote !== undefined && closing(line, quote, from) < 0) {
      if (++i >= lines.length) throw new InputError(`the value has no closing ${quote}`, where);
      line += `\n${lines[i]}`;
    }
    const found = LINE.exec(line);
    if (found === null) throw new InputError("is no line of NAME=value", where);
    const [, name = "", sign, rest = ""] = found;
    const known = { ...environment, ...values };
    if (sign === undefined) {
      const value = own(environment, name);
      if (value !== undefined) values[name] = value;
      continue;
    }
    try {
      values[name] = valueIn(rest.trim(), known);
    } catch (error) {
      if (error instanceof InterpolationError) throw new InputError(error.message, where);
      throw error;
    }
  }
  return values;
}

function valueIn(text: string, environment: Environment): string {
  const quote = text[0];
  if (quote !== '"' && quote !== "'") {
    const comment = /(?:^|\s)#/.exec(text);
    return interpolate(text.slice(0, comment?.index).trim(), environment, () => {});
  }
  const inside = text.slice(1, closing(text, quote, 1));
  if (quote === "'") return inside;
  const unescaped = inside.replace(/\\([nrt"\\])/g, (_, c: string) => ESCAPES[c] ?? c);
  return interpolate(unescaped, environment, () => {});
}

function closing(text: string, quote: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    if (text[i] === "\\" && quote === '"') i++;
    else if (text[i] === quote) return i;
  }
  return -1;
}
