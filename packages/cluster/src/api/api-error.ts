/** What the API server refuses, with the reason of its Status object. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly reason: "AlreadyExists" | "Invalid" | "Forbidden" | "NotFound";

  constructor(reason: ApiError["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}
