/** What dockerd refuses, in one sentence. */
export class DockerError extends Error {
  override readonly name = "DockerError";
}
