import { readFileSync, writeFileSync } from "node:fs";

/** Cost of one error and what can be saved up, in jiffies (net/ipv4/route.c `ip_rt_error_cost`, `ip_rt_error_burst`). */
const COST = "/proc/sys/net/ipv4/route/error_cost";
const BURST = "/proc/sys/net/ipv4/route/error_burst";
/** Errors that are saved up by default: the cost is what these are worth. */
const SAVED_UP = 5;

/**
 * Lets routers that know no way say so each time. By default each sender hears of it five times at once, then once a
 * second (`ip_error`). The limit belongs to the machine, no namespace has one of its own.
 */
export function liftErrorLimit(): void {
  writeFileSync(COST, "0");
}

/** The kernel's own limit again, by what nobody has changed: several runs may have lifted it. */
export function restoreErrorLimit(): void {
  writeFileSync(COST, String(Number(readFileSync(BURST, "utf8")) / SAVED_UP));
}
