import { type Check, fail, ip, list, matching, object, string } from "@cnilab/core/validation";

/** Labels may begin and end with an underscore since 1.34 (KEP-4427); a dot at the end or alone says that it is whole. */
const SEARCH = /^(\.|[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*\.?)$/;
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;

const search = matching(
  SEARCH,
  254,
  "lower-case letters, digits, hyphens, underscores and dots, as svc.example.com",
);

const fields = object({
  nameservers: list(ip, 0, MAX_NAMESERVERS),
  searches: list(search, 0, MAX_SEARCHES),
  options: list(
    object({ name: matching(/./, Number.MAX_SAFE_INTEGER, "a name"), value: string }, ["name"]),
  ),
});

/** `dnsConfig` of a pod (kubernetes pkg/apis/core/validation validatePodDNSConfig). */
export const dnsConfig: Check = (value, path) => {
  fields(value, path);
  const { searches = [] } = value as { readonly searches?: readonly string[] };
  const { length } = searches.join(" ");
  if (length > MAX_SEARCH_CHARACTERS) {
    fail(
      [...path, "searches"],
      `must have at most ${MAX_SEARCH_CHARACTERS} characters with the blanks between, not ${length}`,
    );
  }
};
