import { ACCEPT, DROP, REJECT, RETURN, type TableAction } from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

const ACTIONS: Readonly<Record<"ACCEPT" | "DROP" | "REJECT" | "RETURN", TableAction>> = {
  ACCEPT,
  DROP,
  REJECT,
  RETURN,
};

export function filterAllowAction(config: RulesConfig): TableAction {
  return ACTIONS[config.filterAllowAction];
}

export function mangleAllowAction(config: RulesConfig): TableAction {
  return ACTIONS[config.mangleAllowAction];
}

export function denyAction(config: RulesConfig): TableAction {
  return ACTIONS[config.filterDenyAction];
}

/** As comments name it. */
export function denyWord(config: RulesConfig): string {
  return config.filterDenyAction === "DROP" ? "Drop" : "Reject";
}

export function endpointToHostAction(config: RulesConfig): TableAction {
  return ACTIONS[config.endpointToHostAction];
}

/** What happens to packets to Service addresses that no Service has; `undefined` where they may go round. */
export function serviceLoopAction(config: RulesConfig): TableAction | undefined {
  switch (config.serviceLoopPrevention) {
    case "Drop":
      return DROP;
    case "Reject":
      return REJECT;
    case "Disabled":
      return undefined;
  }
}
