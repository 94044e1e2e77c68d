// How numbers and moments are written.

/** A value in percent (or plain) with a true minus; a dash where it is undefined. */
export function number(value, { plain = false, signed = false, digits } = {}) {
  if (value === null || value === undefined) return "–";
  const shown = plain ? value : 100 * value;
  const text = Math.abs(shown).toFixed(digits ?? (plain ? 3 : 1));
  const zero = Number(text) === 0;
  const sign = shown < 0 && !zero ? "\u2212" : signed && !zero ? "+" : "";
  return sign + text;
}

export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en").replaceAll(",", "\u202f");
}

/** A moment, as one says it: minutes today, else the date. */
export function when(text) {
  const then = new Date(text);
  const seconds = (Date.now() - then) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}
