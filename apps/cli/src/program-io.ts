/** What the program needs of the process that runs it; `process` itself is one. */
export interface ProgramIo {
  /** Node, the program, and then the words of the command line. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Touched only where somebody asks for standard input. */
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: Output;
  readonly stderr: Output;
  /** What the process ends with; unset, it is 0. */
  exitCode?: number | string | null | undefined;
  /** The folder that relative paths are seen from. */
  cwd(): string;
}

export interface Output {
  /** Of a terminal; people get colours and progress there. */
  readonly isTTY?: boolean;
  /** Of a terminal. */
  readonly columns?: number;
  write(chunk: string | Uint8Array): unknown;
}
