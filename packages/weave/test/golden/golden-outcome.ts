/** How one case of a vector file went; `difference` is absent where all is equal. */
export interface GoldenOutcome {
  readonly name: string;
  readonly difference: string | undefined;
}
