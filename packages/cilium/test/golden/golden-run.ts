/** What all cases of a vector file share, and one of the cases. */
export interface GoldenCase<Common, Case> {
  readonly suite: string;
  readonly common: Common;
  readonly case: Case & { readonly name: string };
}

/** Runs a case. @returns what is different from what the real program said; `undefined` where nothing is */
export type GoldenRun<Common, Case> = (golden: GoldenCase<Common, Case>) => string | undefined;
