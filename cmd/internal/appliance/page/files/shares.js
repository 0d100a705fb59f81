import { bar, format, table } from "./draw.js";

// drawShares shows a counter by a label, with the share of each value.
export function drawShares(body, h, name, label, tones) {
  const all = h.last.sum(name);
  table(body, ["", "", "now", "all"], [...h.last.by(name, label)].filter(([value, n]) => n > 0 || tones[value] === "good").map(([value, n]) => [
    value.replaceAll("_", " "), bar(n / all, tones[value]), format.rate(h.rate((s) => s.sum(name, { [label]: value }), 10)), format.count(n),
  ]), "None yet.");
}
