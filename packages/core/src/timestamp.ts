/** The moment that virtual time 0 stands for, in seconds since 1970: 2026-01-01T00:00:00Z. */
const EPOCH_S = 1_767_225_600;

/** The same in milliseconds: what to add to the virtual clock for the time of day. */
export const EPOCH_MS: number = EPOCH_S * 1000;

let lastSecond = -1;
let lastText = "";

/** A moment of the virtual clock (milliseconds) as the API writes it: RFC 3339, whole seconds, UTC. */
export function timestamp(nowMs: number): string {
  const second = EPOCH_S + Math.floor(nowMs / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = format(second);
  }
  return lastText;
}

/** Howard Hinnant's civil_from_days; the simulator never asks the machine for a date. */
function format(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153); // March is 0
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const rest = seconds - days * 86_400;
  const two = (n: number) => String(n).padStart(2, "0");
  const time = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60].map(two).join(":");
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${time}Z`;
}

/** Whole seconds in UTC; what is behind a point may be there. */
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const DAYS = "Sun Mon Tue Wed Thu Fri Sat".split(" ");

/** A moment in RFC 3339 as Go's RFC1123Z has it: `Thu, 01 Jan 2026 00:00:00 +0000`. `undefined` for what is no moment in UTC. */
export function rfc1123z(text: string): string | undefined {
  const [, year = "", month = "", day = "", time] = RFC3339.exec(text) ?? [];
  const monthName = MONTHS[Number(month) - 1];
  if (time === undefined || monthName === undefined) return undefined;
  const weekday = DAYS[dayOfWeek(Number(year), Number(month), Number(day))];
  return `${weekday}, ${day} ${monthName} ${year} ${time} +0000`;
}

/** Sakamoto's method; Sunday is 0. */
function dayOfWeek(year: number, month: number, day: number): number {
  const y = month < 3 ? year - 1 : year;
  const offset = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4][month - 1] ?? 0;
  return (y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + offset + day) % 7;
}
