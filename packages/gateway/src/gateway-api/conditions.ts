import type { GatewayCondition } from "@cnilab/core";

/** A condition of an object at its present generation. */
export function condition(
  type: string,
  isTrue: boolean,
  reason: string,
  message: string,
  generation: number | undefined,
): GatewayCondition {
  return {
    type,
    status: isTrue ? "True" : "False",
    reason,
    message,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

/**
 * A status whose conditions say since when they have been as they are: those that were True or False before keep their
 * time, others get `now` (metav1.Condition lastTransitionTime).
 */
export function withTransitionTimes<T>(status: T, before: unknown, now: string): T {
  return timed(status, before, now) as T;
}

function timed(value: unknown, before: unknown, now: string): unknown {
  if (Array.isArray(value)) {
    const old = Array.isArray(before) ? before : [];
    return value.map((item) => {
      const id = identity(item);
      return timed(
        item,
        old.find((other) => identity(other) === id),
        now,
      );
    });
  }
  if (value === null || typeof value !== "object") return value;
  const old = (before ?? {}) as Readonly<Record<string, unknown>>;
  if ("type" in value && "status" in value && "reason" in value) {
    const kept = old["status"] === value.status ? old["lastTransitionTime"] : undefined;
    return { ...value, lastTransitionTime: kept ?? now };
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [key, timed(field, old[key], now)]),
  );
}

/** What an item of a list is known by: a condition by its type, a listener by its name, a parent by its reference. */
function identity(item: unknown): string {
  if (item === null || typeof item !== "object") return JSON.stringify(item);
  const { type, name, parentRef, ancestorRef, controllerName } = item as Readonly<
    Record<string, unknown>
  >;
  return JSON.stringify([type ?? name ?? parentRef ?? ancestorRef, controllerName]);
}
