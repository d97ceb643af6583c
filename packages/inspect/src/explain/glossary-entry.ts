/** A word of the field in three plain lines. */
export interface GlossaryEntry {
  readonly term: string;
  /** Other names. */
  readonly aliases?: readonly string[];
  /** Names made up at run time, such as those of kube-proxy's chains. */
  readonly pattern?: RegExp;
  readonly lines: readonly [string, string, string];
  /** Where to read on, in this glossary. */
  readonly see?: readonly string[];
}
