// Elements and words; all text is set as text.
export const $ = (id) => document.getElementById(id);

export function el(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

export function clock(epoch) { return new Date(epoch * 1000).toLocaleTimeString([], { hour12: false }); }

export function seconds(s) {
  if (s < 10) return `${(+s).toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}
