import type { Condition, KubeObject, PrinterColumn } from "@cnilab/core";

interface WithSpec extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** A column of a field of `spec`. */
export function specColumn(
  name: string,
  field: string,
  type: PrinterColumn["type"] = "string",
): PrinterColumn {
  return { name, type, value: (object) => (object as WithSpec).spec?.[field] };
}

export const AGE: PrinterColumn = {
  name: "Age",
  type: "date",
  value: ({ metadata }) => metadata.creationTimestamp,
};

/** A column of a condition's status or reason. */
export function conditionColumn(
  name: string,
  type: string,
  field: "status" | "reason",
): PrinterColumn {
  return {
    name,
    type: "string",
    value: (object) => {
      const { status } = object as {
        readonly status?: { readonly conditions?: readonly Condition[] };
      };
      return status?.conditions?.find((each) => each.type === type)?.[field];
    },
  };
}

/** With `-o wide` alone: what calicoctl shows there. */
export function wide(column: PrinterColumn): PrinterColumn {
  return { ...column, wide: true };
}

/** Texts of a list, with commas; calicoctl cuts long ones off. */
export function listColumn(name: string, field: string): PrinterColumn {
  return {
    name,
    type: "string",
    wide: true,
    value: (object) => {
      const texts = (object as WithSpec).spec?.[field];
      if (!Array.isArray(texts)) return undefined;
      const whole = texts.join(",");
      return whole.length > 80 ? `${whole.slice(0, 77)}...` : whole;
    },
  };
}

/** A flag that is false where it is left out. */
export function flagColumn(name: string, field: string): PrinterColumn {
  return {
    name,
    type: "boolean",
    wide: true,
    value: (object) => (object as WithSpec).spec?.[field] === true,
  };
}
