// Numbers as text: short, and never rounded so that almost reads as all or as nothing.

/** A number of up to six digits. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const size = Math.abs(value);
  const short = size >= 1e6 || size < 1e-4 ? value.toExponential(4) : value.toPrecision(6);
  if (Number(short) === 1 || Number(short) === -1) return String(value);
  return short.includes("e") ? short.replace(/\.?0+e/, "e") : short.replace(/\.?0+$/, "");
}

/** The same of three digits. */
export function brief(value) {
  if (!Number.isFinite(value)) return number(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  const short = Number(value.toPrecision(3));
  return Math.abs(short) === 1 && Math.abs(value) !== 1 ? number(value) : String(short);
}

/** A count with thin spaces between thousands. */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A share in percent, that reads as all or as none only where it is. */
export function percent(value) {
  if (!Number.isFinite(value)) return number(value);
  if (value >= 10) return `${brief(value * 100)} %`;
  const text = (value * 100).toPrecision(3);
  return `${Number(text)} %`;
}
