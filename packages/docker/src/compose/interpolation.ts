/** What a variable of a Compose file stands for. */
export type Environment = Readonly<Record<string, string>>;

/** Something in the text that is no variable, or one that has to have a value. */
export class InterpolationError extends Error {
  override readonly name = "InterpolationError";
}

const NAMED = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const OPERATOR = /:?[-?+]/y;

/**
 * Puts values in the place of `$NAME` and `${NAME…}`, with `:-` `-` (a default), `:?` `?` (an error) and `:+` `+` (another
 * text), and a dollar sign in that of `$$` (Compose Specification, "Interpolation"; compose-go template/template.go).
 * @param missing called with each name that has no value and no default: it is empty then
 * @throws InterpolationError
 */
export function interpolate(
  text: string,
  environment: Environment,
  missing: (name: string) => void,
): string {
  if (!text.includes("$")) return text;
  let result = "";
  let at = 0;
  for (;;) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0) return result + text.slice(at);
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === "$") {
      result += "$";
      at = dollar + 2;
    } else if (next === "{") {
      const end = closingBrace(text, dollar + 1);
      if (end < 0) throw new InterpolationError(`"${text.slice(dollar)}" has no closing brace`);
      result += braced(text.slice(dollar + 2, end), environment, missing);
      at = end + 1;
    } else {
      const name = match(NAMED, text, dollar + 1);
      result += name === undefined ? "$" : valueIn(name, environment, missing);
      at = dollar + 1 + (name?.length ?? 0);
    }
  }
}

function braced(inside: string, environment: Environment, missing: (name: string) => void): string {
  const name = match(NAMED, inside, 0);
  const rest = name === undefined ? "" : inside.slice(name.length);
  const operator = match(OPERATOR, rest, 0);
  if (name === undefined || (rest !== "" && operator === undefined)) {
    throw new InterpolationError(`"\${${inside}}" is no variable; write $$ for a dollar sign`);
  }
  if (operator === undefined) return valueIn(name, environment, missing);
  const value = own(environment, name);
  const word = () => interpolate(rest.slice(operator.length), environment, missing);
  const there = value !== undefined && !(operator.startsWith(":") && value === "");
  switch (operator.at(-1)) {
    case "-":
      return there ? value : word();
    case "+":
      // Where nothing is set, compose-go hands back the value itself, which is empty.
      return there ? word() : (value ?? "");
    default:
      if (there) return value;
      throw new InterpolationError(
        `required variable ${name} is missing a value${rest.length > operator.length ? `: ${word()}` : ""}`,
      );
  }
}

function valueIn(name: string, environment: Environment, missing: (name: string) => void): string {
  const value = own(environment, name);
  if (value === undefined) missing(name);
  return value ?? "";
}

/** What an environment has of its own: it has no `constructor`. */
export function own(environment: Environment, name: string): string | undefined {
  return Object.hasOwn(environment, name) ? environment[name] : undefined;
}

/** Where the brace that stands at an index is closed; -1 where it is not. */
function closingBrace(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return i;
  }
  return -1;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
