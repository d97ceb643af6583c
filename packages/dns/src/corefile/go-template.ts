// What CoreDNS' `template` plugin needs of Go's text/template: fields, `index`, `printf`, `parseInt`, comparisons, pipelines,
// variables, and `if`, `else`, `end`.

type Value =
  | string
  | number
  | boolean
  | undefined
  | readonly Value[]
  | { readonly [key: string]: Value };

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly pipe: Pipe }
  | {
      readonly kind: "if";
      readonly pipe: Pipe;
      readonly consequent: readonly Node[];
      readonly otherwise: readonly Node[];
    };

/** Commands, each of which gets the result of the one before as its last argument. */
interface Pipe {
  readonly variable?: string;
  readonly commands: readonly (readonly Argument[])[];
}

type Argument =
  | { readonly kind: "literal"; readonly value: Value }
  | { readonly kind: "field"; readonly root: string; readonly path: readonly string[] }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "pipe"; readonly pipe: Pipe; readonly path: readonly string[] };

/** A template that is wrong, or that uses what is not modelled. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

/** @throws TemplateError */
export function compileTemplate(text: string): (data: { readonly [key: string]: Value }) => string {
  const nodes = parse(text);
  return (data) => render(nodes, data, new Map());
}

function parse(text: string): readonly Node[] {
  const root: Node[] = [];
  const stack: {
    nodes: Node[];
    open?: { pipe: Pipe; consequent: Node[]; otherwise: Node[] | undefined };
  }[] = [{ nodes: root }];
  const top = () => stack.at(-1) as (typeof stack)[number];
  let at = 0;
  for (const match of text.matchAll(
    /\{\{(-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)(\s-)?\}\}/gs,
  )) {
    const before = text.slice(at, match.index);
    at = match.index + match[0].length;
    const trimmed = match[1] === undefined ? before : before.trimEnd();
    if (trimmed !== "") top().nodes.push({ kind: "text", text: trimmed });
    if (match[3] !== undefined) at += (/^\s*/.exec(text.slice(at)) as RegExpExecArray)[0].length;
    const action = (match[2] as string).trim();
    const [keyword = ""] = action.split(/\s+/, 1);
    if (action.startsWith("/*")) continue;
    if (keyword === "if") {
      const open = {
        pipe: parsePipe(action.slice(2)),
        consequent: [] as Node[],
        otherwise: undefined,
      };
      stack.push({ nodes: open.consequent, open });
    } else if (keyword === "else") {
      const open = top().open;
      if (open === undefined || open.otherwise !== undefined)
        throw new TemplateError("unexpected {{else}}");
      open.otherwise = [];
      const rest = action.slice(4).trim();
      stack[stack.length - 1] = { nodes: open.otherwise, open };
      if (rest !== "") throw new TemplateError(`{{else ${rest}}} is not modelled; nest an {{if}}`);
    } else if (keyword === "end") {
      const { open } = stack.pop() ?? {};
      if (open === undefined) throw new TemplateError("unexpected {{end}}");
      top().nodes.push({
        kind: "if",
        pipe: open.pipe,
        consequent: open.consequent,
        otherwise: open.otherwise ?? [],
      });
    } else if (
      ["range", "with", "define", "template", "block", "break", "continue"].includes(keyword)
    ) {
      throw new TemplateError(`{{${keyword}}} is not modelled`);
    } else {
      top().nodes.push({ kind: "output", pipe: parsePipe(action) });
    }
  }
  if (text.slice(at).includes("{{")) throw new TemplateError("unclosed action");
  if (stack.length > 1) throw new TemplateError("{{if}} without {{end}}");
  if (at < text.length) root.push({ kind: "text", text: text.slice(at) });
  return root;
}

function parsePipe(text: string): Pipe {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|:=|\)\.[\w.]+|[^\s()|]+/gs) ?? [];
  const position = { at: 0 };
  const pipe = parseTokens(tokens, position);
  if (position.at < tokens.length) throw new TemplateError(`unexpected "${tokens[position.at]}"`);
  return pipe;
}

function parseTokens(tokens: readonly string[], position: { at: number }): Pipe {
  let variable: string | undefined;
  if (/^\$\w+$/.test(tokens[position.at] ?? "") && tokens[position.at + 1] === ":=") {
    variable = tokens[position.at] as string;
    position.at += 2;
  }
  const commands: Argument[][] = [[]];
  for (; position.at < tokens.length && tokens[position.at] !== ")"; position.at++) {
    const token = tokens[position.at] as string;
    const command = commands.at(-1) as Argument[];
    if (token === "|") commands.push([]);
    else if (token === "(") {
      position.at++;
      const pipe = parseTokens(tokens, position);
      if (tokens[position.at] !== ")") throw new TemplateError("a '(' has no ')'");
      command.push({ kind: "pipe", pipe, path: [] });
    } else command.push(parseArgument(token));
  }
  if (commands.some((command) => command.length === 0))
    throw new TemplateError("missing value for command");
  return variable === undefined ? { commands } : { variable, commands };
}

function parseArgument(token: string): Argument {
  if (token.startsWith('"')) {
    try {
      return { kind: "literal", value: JSON.parse(token) as string };
    } catch {
      throw new TemplateError(`bad string ${token}`);
    }
  }
  if (token.startsWith("`")) return { kind: "literal", value: token.slice(1, -1) };
  if (/^-?(0x[0-9a-f]+|[0-9]+)$/i.test(token)) return { kind: "literal", value: Number(token) };
  if (token === "true" || token === "false") return { kind: "literal", value: token === "true" };
  if (/^(\$\w*)?(\.\w+)*$/.test(token) || token === ".") {
    const [root = "", ...path] = token === "." ? [""] : token.split(".");
    return { kind: "field", root, path };
  }
  if (Object.hasOwn(FUNCTIONS, token)) return { kind: "function", name: token };
  throw new TemplateError(`function "${token}" not defined`);
}

function render(nodes: readonly Node[], data: Value, variables: Map<string, Value>): string {
  let out = "";
  for (const node of nodes) {
    if (node.kind === "text") out += node.text;
    else if (node.kind === "output") {
      const value = run(node.pipe, data, variables);
      if (node.pipe.variable === undefined) out += textOf(value);
    } else {
      const chosen = truth(run(node.pipe, data, variables)) ? node.consequent : node.otherwise;
      out += render(chosen, data, variables);
    }
  }
  return out;
}

function run(pipe: Pipe, data: Value, variables: Map<string, Value>): Value {
  let value: Value;
  pipe.commands.forEach((command, i) => {
    const [head, ...rest] = command as [Argument, ...Argument[]];
    const args = rest.map((argument) => evaluate(argument, data, variables));
    if (i > 0) args.push(value);
    if (head.kind === "function") value = (FUNCTIONS[head.name] as TemplateFunction)(args);
    else if (head.kind === "field" && head.path.at(-1) === "Meta") value = "";
    else if (args.length > 0) throw new TemplateError("can't give argument to non-function");
    else value = evaluate(head, data, variables);
  });
  if (pipe.variable !== undefined) variables.set(pipe.variable, value);
  return value;
}

function evaluate(argument: Argument, data: Value, variables: Map<string, Value>): Value {
  if (argument.kind === "literal") return argument.value;
  if (argument.kind === "pipe") return run(argument.pipe, data, variables);
  if (argument.kind === "function") return (FUNCTIONS[argument.name] as TemplateFunction)([]);
  const { root, path } = argument;
  let value = root === "" || root === "$" ? data : variables.get(root);
  for (const field of path) value = member(value, field);
  return value;
}

function member(value: Value, field: string): Value {
  if (typeof value !== "object") throw new TemplateError(`can't evaluate field ${field}`);
  return Object.hasOwn(value, field)
    ? (value as { readonly [key: string]: Value })[field]
    : undefined;
}

type TemplateFunction = (args: readonly Value[]) => Value;

const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  index: ([value, ...keys]) =>
    keys.reduce<Value>((found, key) => {
      if (Array.isArray(found) && !(Number(key) < found.length))
        throw new TemplateError("index out of range");
      return member(found, textOf(key));
    }, value),
  parseInt: ([text, base, bits]) => {
    const digits = textOf(text);
    const value = Number.parseInt(digits, Number(base) || 10);
    if (
      Number.isNaN(value) ||
      value.toString(Number(base) || 10) !== digits.toLowerCase().replace(/^0+(?=.)/, "")
    ) {
      throw new TemplateError(`parsing "${digits}": invalid syntax`);
    }
    if (value >= 2 ** (Number(bits) || 64))
      throw new TemplateError(`parsing "${digits}": value out of range`);
    return value;
  },
  printf: ([format, ...args]) => printf(textOf(format), args),
  print: (args) => args.map(textOf).join(""),
  len: ([value]) => (typeof value === "object" ? Object.keys(value).length : textOf(value).length),
  not: ([value]) => !truth(value),
  and: (args) => args.find((value) => !truth(value)) ?? args.at(-1),
  or: (args) => args.find(truth) ?? args.at(-1),
  eq: ([first, ...rest]) => rest.some((value) => value === first),
  ne: ([first, second]) => first !== second,
  lt: ([first, second]) => Number(first) < Number(second),
  le: ([first, second]) => Number(first) <= Number(second),
  gt: ([first, second]) => Number(first) > Number(second),
  ge: ([first, second]) => Number(first) >= Number(second),
};

function printf(format: string, args: readonly Value[]): string {
  let next = 0;
  return format.replace(
    /%(-?)(0?)([0-9]*)([dsvxXoqt%])/g,
    (_, left: string, zero: string, width: string, verb: string) => {
      if (verb === "%") return "%";
      const value = args[next++];
      let text = textOf(value);
      if (verb === "x" || verb === "X" || verb === "o")
        text = Number(value).toString(verb === "o" ? 8 : 16);
      if (verb === "X") text = text.toUpperCase();
      if (verb === "q") text = JSON.stringify(text);
      const length = Number(width || 0);
      return left === "-" ? text.padEnd(length) : text.padStart(length, zero === "0" ? "0" : " ");
    },
  );
}

function truth(value: Value): boolean {
  if (typeof value === "object") return Object.keys(value).length > 0;
  return value !== undefined && value !== "" && value !== 0 && value !== false;
}

/** As Go prints it; what is not there is `<no value>`. */
function textOf(value: Value): string {
  if (value === undefined) return "<no value>";
  return typeof value === "object"
    ? `[${Object.values(value).map(textOf).join(" ")}]`
    : String(value);
}
