import { InputError, rfc1123z } from "@cnilab/core";

/** What `hubble observe --time-format` knows (hubble/pkg/time). */
export const TIME_FORMATS = [
  "StampMilli",
  "YearMonthDay",
  "YearMonthDayHour",
  "YearMonthDayHourMinute",
  "RFC3339",
  "RFC3339Milli",
  "RFC3339Micro",
  "RFC3339Nano",
  "RFC1123Z",
] as const;

export type TimeFormat = (typeof TIME_FORMATS)[number];

/** A flow's time as protobuf writes it: RFC 3339, in UTC. */
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z$/;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `N/A` for what is no time. */
export function formatTime(time: string | undefined, format: TimeFormat): string {
  const [, year, month, day, hour, minute, second, fraction = ""] = RFC3339.exec(time ?? "") ?? [];
  if (year === undefined || month === undefined || day === undefined) return "N/A";
  const nanos = fraction.padEnd(9, "0");
  const date = `${year}-${month}-${day}`;
  const seconds = `${date}T${hour}:${minute}:${second}`;
  const monthName = MONTHS[Number(month) - 1] ?? "N/A";
  switch (format) {
    case "StampMilli":
      return `${monthName} ${String(Number(day)).padStart(2)} ${hour}:${minute}:${second}.${nanos.slice(0, 3)}`;
    case "YearMonthDay":
      return date;
    case "YearMonthDayHour":
      return `${date}T${hour}Z`;
    case "YearMonthDayHourMinute":
      return `${date}T${hour}:${minute}Z`;
    case "RFC3339":
      return `${seconds}Z`;
    case "RFC3339Milli":
      return `${seconds}${significant(nanos.slice(0, 3))}Z`;
    case "RFC3339Micro":
      return `${seconds}${significant(nanos.slice(0, 6))}Z`;
    case "RFC3339Nano":
      return `${seconds}${significant(nanos)}Z`;
    case "RFC1123Z":
      return rfc1123z(`${seconds}Z`) ?? "N/A";
  }
}

/** Layouts with nines leave zeros at the end away. */
function significant(digits: string): string {
  const kept = digits.replace(/0+$/, "");
  return kept === "" ? "" : `.${kept}`;
}

const DURATION_PARTS: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/**
 * Reads `--since` and `--until`: a time, or how long ago as `1h30m`. @returns RFC 3339 with nine digits, which compare as
 * texts do. @param ago the moment so many milliseconds ago, in RFC 3339. @throws InputError
 */
export function readMoment(text: string, flag: string, ago: (ms: number) => string): string {
  if (/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    let ms = 0;
    for (const [, amount, unit = ""] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) {
      ms += Number(amount) * (DURATION_PARTS.get(unit) ?? 0);
    }
    return comparable(ago(ms)) ?? "";
  }
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text;
  const moment = comparable(
    day.replace(/T(\d\d)Z$/, "T$1:00Z").replace(/T(\d\d:\d\d)Z$/, "T$1:00Z"),
  );
  if (moment === undefined) {
    throw new InputError(
      `"${text}" is no time; write one in UTC as 2026-01-01T12:00:00Z, or how long ago as 5m`,
      flag,
    );
  }
  return moment;
}

/** A time with all of its nine digits, so that texts compare as times. */
export function comparable(time: string): string | undefined {
  const [, year, month, day, hour, minute, second, fraction = ""] = RFC3339.exec(time) ?? [];
  if (year === undefined) return undefined;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(9, "0")}Z`;
}
