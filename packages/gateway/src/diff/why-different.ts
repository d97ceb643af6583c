import type { RouteDecision } from "../routing/decision.ts";
import type { Aspect } from "./derive-requests.ts";
import type { Fate } from "./fate.ts";

/** One sentence on why an Ingress and routes treat a request differently, and what to do about it. */
export function whyDifferent(
  aspect: Aspect,
  ingress: { readonly decision: RouteDecision; readonly fate: Fate },
  routes: { readonly decision: RouteDecision; readonly fate: Fate },
): string {
  return (
    ofRedirects(ingress.decision, routes.decision) ??
    ofComparison(aspect, ingress.decision, routes.decision) ??
    ofAnswers(ingress, routes)
  );
}

function ofRedirects(ingress: RouteDecision, routes: RouteDecision): string | undefined {
  if (ingress.action !== "redirect") {
    return routes.action === "redirect" ? "the routes redirect, the Ingress does not" : undefined;
  }
  if (routes.action === "redirect") {
    return ingress.status === routes.status
      ? "both redirect, to different places"
      : `both redirect, with ${ingress.status} and ${routes.status}; clients repeat the method after 307 and 308 alone`;
  }
  const { location, why } = ingress;
  if (/^nginx adds the slash/.test(why)) {
    return "a path that ends with a slash makes nginx send clients there (301); a PathPrefix takes both";
  }
  if (location.startsWith("https://") && / has a certificate/.test(why)) {
    return "ssl-redirect: nginx sends http to https where the host has a certificate; give the HTTP listener a route with RequestRedirect";
  }
  if (/app-root/.test(why)) {
    return "app-root redirects /; add a rule with an Exact match of / and RequestRedirect";
  }
  if (/from-to-www/.test(why)) {
    return "from-to-www-redirect answers for a host of its own; add a route for it with RequestRedirect";
  }
  return "the Ingress redirects; add RequestRedirect to the rule";
}

function ofComparison(
  aspect: Aspect,
  ingress: RouteDecision,
  routes: RouteDecision,
): string | undefined {
  const byPattern = ingress.action === "forward" && ingress.why.includes("~*");
  switch (aspect) {
    case "wildcard depth":
      return "a wildcard stands for exactly one label in an Ingress, for one or more in a route";
    case "letter case":
      return byPattern
        ? "use-regex or rewrite-target makes nginx compare all paths of the host without regard to case; routes do not"
        : undefined;
    case "sibling":
      if (byPattern) {
        return "use-regex or rewrite-target makes nginx compare all paths of the host as patterns that need not end at a slash; a PathPrefix goes by elements";
      }
      return ingress.action === "forward" && routes.action !== "forward"
        ? "ImplementationSpecific: nginx compares letter by letter; a PathPrefix goes by elements"
        : undefined;
    case "trailing slash":
      return ingress.action === "forward" && routes.action === "forward"
        ? undefined
        : "a slash at the end: Exact counts it, a prefix does not";
    case "other host":
      return "a host that no rule names: the Ingress's default backend, the Gateway's listeners and routes without host names decide";
    case "cookie":
      return "canary-by-cookie has nothing like it in an HTTPRoute but a match of the Cookie header as RegularExpression";
    default:
      return undefined;
  }
}

function ofAnswers(
  ingress: { readonly decision: RouteDecision; readonly fate: Fate },
  routes: { readonly decision: RouteDecision; readonly fate: Fate },
): string {
  const [theirs, ours] = [ingress.fate.backends, routes.fate.backends];
  if (theirs !== undefined && ours === undefined) {
    return `only the Ingress has a rule for it (${ingress.decision.why}); of the routes: ${routes.decision.why}`;
  }
  if (theirs === undefined && ours !== undefined) {
    return `only the routes have a rule for it (${routes.decision.why}); of the Ingress: ${ingress.decision.why}`;
  }
  if (theirs === undefined || ours === undefined) return "both refuse it, with different answers";
  const withoutProtocol = ([...texts]: readonly string[]): string =>
    texts.map((text) => text.replace(/ over (TLS|h2c|FastCGI)/, "")).join();
  if (theirs.join() !== ours.join() && withoutProtocol(theirs) === withoutProtocol(ours)) {
    return "the backend is spoken to in another protocol: backend-protocol of the Ingress; for routes a BackendTLSPolicy, or appProtocol of the Service's port (give the Service with -f)";
  }
  if (theirs.join() !== ours.join()) {
    return `other backends: ${ingress.decision.why}; ${routes.decision.why}`;
  }
  return whatBackendsSee(ingress.fate, routes.fate).join("; ");
}

/** Where the same backends are asked, but not alike. */
function whatBackendsSee(ingress: Fate, routes: Fate): string[] {
  const differs = (key: keyof Fate): boolean =>
    JSON.stringify(ingress[key]) !== JSON.stringify(routes[key]);
  const parts: readonly (readonly [keyof Fate, string])[] = [
    ["path", "the backend is asked for another path (rewrite-target, URLRewrite)"],
    ["host", "the backend gets another Host header (upstream-vhost, URLRewrite)"],
    [
      "session",
      "one of them keeps clients at an endpoint, or by something else (affinity: cookie, sessionPersistence)",
    ],
    ["headers", "the backend gets other headers (RequestHeaderModifier)"],
    ["responseHeaders", "the client gets other headers (ResponseHeaderModifier)"],
    ["cors", "one of them answers CORS requests"],
    ["mirrors", "one of them sends copies to another Service (RequestMirror)"],
  ];
  return parts.filter(([key]) => differs(key)).map(([, text]) => text);
}
