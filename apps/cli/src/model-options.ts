import { type CniModel, type CniOption, type CniOptionValues, InputError } from "@cnilab/core";
import { parse, YAMLParseError } from "yaml";
import { NO_CNI } from "./load-model.ts";
import type { Source } from "./read-input.ts";

type Value = string | boolean | number;

/** Options of a model, and what the user should be told of what is no option. */
export interface ModelOptions {
  readonly options: CniOptionValues;
  readonly warnings: readonly string[];
}

/** Names of values that a warning holds. */
const MOST_NAMES = 8;
/** Options that a message holds; of more, those that look alike. */
const MOST_OPTIONS = 20;

/**
 * What the options are: the model's own defaults, above them the values files, one after the other, above them `--cni-set KEY=value`.
 * @throws InputError for what is no option, or no value of one
 */
export function readModelOptions(
  model: CniModel | undefined,
  settings: readonly string[],
  valuesFiles: readonly Source[] = [],
): ModelOptions {
  const values: Record<string, Value | undefined> = {};
  for (const option of model?.options ?? []) values[option.key] = option.default;
  const warnings: string[] = [];
  for (const source of valuesFiles) {
    const notModelled = readValuesFile(model, source, values);
    if (notModelled.length > 0) warnings.push(notModelledWarning(source, notModelled));
  }
  for (const setting of settings) {
    const equals = setting.indexOf("=");
    const key = equals < 0 ? setting : setting.slice(0, equals);
    const option = model?.options.find((o) => o.key === key);
    if (option === undefined) throw new InputError(noOption(model, key), "--cni-set");
    // As with kubectl's flags, a boolean alone means true.
    values[key] = readValue(option, equals < 0 ? "true" : setting.slice(equals + 1), "--cni-set");
  }
  return { options: values, warnings };
}

function noOption(model: CniModel | undefined, key: string): string {
  const name = model?.name ?? NO_CNI;
  const options = model?.options.map((o) => o.key) ?? [];
  if (model?.chartSections?.includes(sectionOf(key))) {
    return `"${key}" is not modelled for ${name}; \`cnilab cni list\` has what is`;
  }
  const what = `${name} has no option "${key}"`;
  if (options.length <= MOST_OPTIONS) {
    return options.length === 0 ? what : `${what}; it has ${options.join(", ")}`;
  }
  const last = (key.split(".").at(-1) ?? "").toLowerCase();
  const alike = options.filter((o) => o.toLowerCase().includes(last)).slice(0, MOST_OPTIONS);
  return alike.length === 0
    ? `${what}; \`cnilab cni list\` has them all`
    : `${what}; do you mean ${alike.join(", ")}?`;
}

/** @returns what of a chart's values is not modelled */
function readValuesFile(
  model: CniModel | undefined,
  source: Source,
  values: Record<string, Value | undefined>,
): string[] {
  if (model?.chartSections === undefined) {
    throw new InputError(
      `${model?.name ?? NO_CNI} takes no file of Helm values; use --cni-set`,
      "--cni-values",
    );
  }
  const document = parseValues(source);
  const options = new Map(model.options.map((option) => [option.key, option]));
  const notModelled: string[] = [];
  const read = (path: string, value: unknown): void => {
    const option = options.get(path);
    if (option !== undefined) {
      const text = textOf(value);
      if (text !== undefined) values[path] = readValue(option, text, source.name);
      return;
    }
    if (isObject(value)) {
      for (const [key, inner] of Object.entries(value)) read(`${path}.${key}`, inner);
      return;
    }
    if (value !== null) notModelled.push(path);
  };
  for (const [section, value] of Object.entries(document)) {
    if (!model.chartSections.includes(section)) {
      throw new InputError(
        `${model.name}'s chart has no value "${section}"; check how it is spelled`,
        source.name,
      );
    }
    read(section, value);
  }
  return notModelled;
}

function parseValues({ name, text }: Source): Readonly<Record<string, unknown>> {
  let document: unknown;
  try {
    // Braces of a template are a key that is a mapping: what is wrong with it is said below, not by the library.
    document = parse(text, { logLevel: "error" });
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    const line = error.linePos?.[0].line;
    const what = error.message.split(/ at line \d+|\n/)[0];
    throw new InputError(`is no YAML: ${what}`, line === undefined ? name : `${name}:${line}`);
  }
  if (document === null || document === undefined) return {};
  if (isObject(document)) return document;
  throw new InputError("holds no values; write them as in the chart's values.yaml", name);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As `--set` has it; nothing for what the file leaves to the chart. */
function textOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.map(String).join(",");
  return isObject(value) ? JSON.stringify(value) : String(value);
}

function notModelledWarning({ name }: Source, paths: readonly string[]): string {
  const more = paths.length > MOST_NAMES ? ` and ${paths.length - MOST_NAMES} more` : "";
  return `${name}: not modelled: ${paths.slice(0, MOST_NAMES).join(", ")}${more}`;
}

function sectionOf(key: string): string {
  return key.split(".")[0] ?? "";
}

function readValue(option: CniOption, text: string, where: string): Value {
  const { key, type, values } = option;
  switch (type) {
    case "boolean":
      if (text === "true" || text === "false") return text === "true";
      throw new InputError(`${key} must be true or false, not "${text}"`, where);
    case "integer":
      if (/^-?\d{1,15}$/.test(text)) return Number(text);
      throw new InputError(`${key} must be a whole number, not "${text}"`, where);
    case "string":
      // An empty value of a chart is none.
      if (values === undefined || values.includes(text) || text === "") return text;
      throw new InputError(`${key} must be one of ${values.join(", ")}, not "${text}"`, where);
  }
}
