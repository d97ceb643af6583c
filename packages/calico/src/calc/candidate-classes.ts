import { LabelIndex } from "../selector/label-index.ts";
import { possibleToSatisfy } from "../selector/label-restrictions.ts";
import type { Selector } from "../selector/selector.ts";
import type { LabelClass, ProfileState } from "./label-class.ts";

/** Finds classes that a selector may match (`felix/labelindex/named_port_index.go` iterEndpointCandidates). */
export class CandidateClasses {
  readonly #classes = new LabelIndex<LabelClass>();
  readonly #profiles = new LabelIndex<ProfileState>();

  add(each: LabelClass): void {
    this.#classes.add(each, each.own);
  }

  delete(each: LabelClass): void {
    this.#classes.delete(each);
  }

  /** A profile has the labels of its model now. */
  setProfile(profile: ProfileState): void {
    this.#profiles.delete(profile);
    if (profile.model !== undefined && profile.model.labels.size > 0)
      this.#profiles.add(profile, profile.model.labels);
  }

  /** Calls with each class that the selector matches, some more than once: finds them by the one of its labels that the fewest have, themselves or from a profile. */
  forMatching(selector: Selector, call: (each: LabelClass) => void): void {
    this.#forCandidates(selector, (each) => {
      if (selector.matches(each)) call(each);
    });
  }

  #forCandidates(selector: Selector, call: (each: LabelClass) => void): void {
    let fewest = this.#classes.size;
    let best: string | undefined;
    for (const [label, restriction] of selector.restrictions) {
      if (!possibleToSatisfy(restriction)) return;
      if (!restriction.mustBePresent) continue;
      let count = this.#classes.countMatching(label, restriction, fewest);
      this.#profiles.forMatching(label, restriction, ({ classes }) => {
        count += classes.size;
      });
      if (count >= fewest) continue;
      fewest = count;
      best = label;
    }
    const restriction = best === undefined ? undefined : selector.restrictions.get(best);
    if (best === undefined || restriction === undefined) {
      for (const each of this.#classes.items()) call(each);
      return;
    }
    this.#classes.forMatching(best, restriction, call);
    this.#profiles.forMatching(best, restriction, ({ classes }) => classes.forEach(call));
  }
}
