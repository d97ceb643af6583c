import type { VfpGroup } from "../vfp/vfp-group.ts";
import type { VfpRule } from "../vfp/vfp-rule.ts";

/** The rules that came of one HNS object, and where they stand. */
export class RuleSet {
  readonly #placed: { readonly group: VfpGroup; readonly rule: VfpRule }[] = [];

  add(group: VfpGroup, rule: VfpRule): void {
    group.add(rule);
    this.#placed.push({ group, rule });
  }

  remove(): void {
    for (const { group, rule } of this.#placed) group.remove(rule);
    this.#placed.length = 0;
  }
}
