/** Steps from an object to one of its fields. */
export type FieldPath = readonly (string | number)[];

/** One field of an object that is not as the API server wants it. */
export class FieldError extends Error {
  override readonly name = "FieldError";
  readonly path: FieldPath;

  /** @param message what is wrong and how to mend it, without the path */
  constructor(path: FieldPath, message: string) {
    super(`${formatPath(path)} ${message}`);
    this.path = path;
  }
}

/** As the API server writes it: `spec.containers[0].ports[1].containerPort`. */
export function formatPath(path: FieldPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}
