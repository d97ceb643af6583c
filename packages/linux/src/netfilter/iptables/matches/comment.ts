import type { Match, MatchExtension } from "../extension.ts";
import { quoteWord } from "../words.ts";

/** Says something to whoever reads the rule, and matches everything. */
export class CommentMatch implements Match {
  readonly pure = true;
  readonly comment: string;

  constructor(comment: string) {
    this.comment = comment;
  }

  matches(): boolean {
    return true;
  }

  get text(): string {
    return `-m comment --comment ${quoteWord(this.comment)}`;
  }
}

/** `XT_MAX_COMMENT_LEN`, its closing zero not counted. */
const MAX_LENGTH = 255;

export const comment: MatchExtension = {
  names: ["comment"],
  options: [{ name: "comment", args: 1 }],
  parse(values) {
    return new CommentMatch(values.required("comment").slice(0, MAX_LENGTH));
  },
};
