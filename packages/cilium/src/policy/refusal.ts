import { FieldError, type FieldPath } from "@cnilab/core/validation";

/** A rule that the API server took, but agents do not. */
export class RefusedRuleError extends FieldError {
  /** In the words of the agent and of the operator, who writes them into the policy's condition `Valid`. */
  readonly agentMessage: string;

  constructor(path: FieldPath, message: string, agentMessage: string) {
    super(path, message);
    this.agentMessage = agentMessage;
  }
}

/** @throws RefusedRuleError */
export function refuse(path: FieldPath, message: string, agentMessage: string): never {
  throw new RefusedRuleError(path, message, agentMessage);
}
