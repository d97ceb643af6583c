/** Versions of the specification that the reference plugins speak (containernetworking/cni pkg/version). */
export const SPEC_VERSIONS: readonly string[] = [
  "0.1.0",
  "0.2.0",
  "0.3.0",
  "0.3.1",
  "0.4.0",
  "1.0.0",
  "1.1.0",
];

/** What a configuration without `cniVersion` is taken for. */
export const DEFAULT_SPEC_VERSION = "0.1.0";

export function versionsSince(first: string): readonly string[] {
  return SPEC_VERSIONS.filter((version) => versionAtLeast(version, first));
}

/** Whether a version of the specification is `least` or newer; the parts compare as numbers. */
export function versionAtLeast(version: string, least: string): boolean {
  if (version === least) return true;
  let answers = known.get(least);
  if (answers === undefined) {
    answers = new Map();
    known.set(least, answers);
  }
  let answer = answers.get(version);
  if (answer === undefined) {
    answer = compare(version, least);
    answers.set(version, answer);
  }
  return answer;
}

/** Every plugin of every pod asks: answers by the least version, then by the version. */
const known = new Map<string, Map<string, boolean>>();

function compare(version: string, least: string): boolean {
  const have = version.split(".");
  const want = least.split(".");
  for (let i = 0; i < want.length; i++) {
    const difference = Number(have[i] ?? 0) - Number(want[i]);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
