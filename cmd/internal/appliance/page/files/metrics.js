// Reading of /metrics: samples of it, and what happened between two of them.

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// parse reads the text format (prometheus.io/docs/instrumenting/exposition_formats)
// into series by name. The Go runtime's own are left out.
export function parse(text) {
  const series = new Map();
  for (const row of text.split("\n")) {
    const m = row[0] === "#" || row.startsWith("go_") ? null : line.exec(row);
    if (!m) continue;
    const labels = {};
    for (const [, name, value] of (m[2] ?? "").matchAll(label)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    if (!series.has(m[1])) series.set(m[1], []);
    series.get(m[1]).push({ labels, value: Number(m[3].replace("Inf", "Infinity")) });
  }
  return series;
}

// Sample is one reading.
export class Sample {
  constructor(time, series) {
    this.time = time; // s
    this.series = series;
  }

  // all are the series of a name whose labels are as in match.
  all(name, match = {}) {
    return (this.series.get(name) ?? []).filter((s) => Object.entries(match).every(([k, v]) => s.labels[k] === v));
  }

  sum(name, match) {
    return this.all(name, match).reduce((n, s) => n + s.value, 0);
  }

  // by sums the series of a name for each value of a label.
  by(name, key, match) {
    const sums = new Map();
    for (const s of this.all(name, match)) sums.set(s.labels[key], (sums.get(s.labels[key]) ?? 0) + s.value);
    return sums;
  }
}

// keep is how long samples are kept, in seconds.
const keep = 300;

// History is the samples of the last minutes.
export class History {
  samples = [];

  push(sample) {
    const started = (s) => s.sum("process_start_time_seconds");
    if (this.samples.length && started(this.last) !== started(sample)) this.samples = []; // another process
    this.samples.push(sample);
    while (sample.time - this.samples[0].time > keep) this.samples.shift();
  }

  // width is how many seconds a chart of it should have: whole minutes.
  get width() {
    return Math.min(keep, 60 * Math.ceil(Math.max(1, this.last.time - this.samples[0].time - 2) / 60));
  }

  get last() {
    return this.samples.at(-1);
  }

  // since is the sample of as many seconds ago, or the first.
  since(seconds) {
    return this.samples.findLast((s) => s.time <= this.last.time - seconds) ?? this.samples[0];
  }

  // increase and rate are of a function of samples, within the last seconds.
  increase(f, seconds) {
    return f(this.last) - f(this.since(seconds));
  }

  rate(f, seconds) {
    const time = this.last.time - this.since(seconds).time;
    return time > 0 ? this.increase(f, seconds) / time : NaN;
  }

  // rates are those between each two samples, as [time, rate].
  rates(f) {
    return this.samples.slice(1).map((s, i) => {
      const before = this.samples[i];
      return [s.time, (f(s) - f(before)) / (s.time - before.time)];
    });
  }

  // quantiles are those of a histogram within the last seconds, or if nothing
  // was counted then, of all; null where nothing ever was.
  quantiles(name, qs, seconds) {
    const buckets = (s) => new Map(s.all(name + "_bucket").map((b) => [Number(b.labels.le.replace("+Inf", "Infinity")), b.value]));
    const now = buckets(this.last), before = buckets(this.since(seconds));
    const counts = (base) => [...now].sort((a, b) => a[0] - b[0]).map(([le, n]) => [le, n - (base.get(le) ?? 0)]);
    let all = counts(before);
    if (!all.at(-1)?.[1]) all = counts(new Map());
    return all.at(-1)?.[1] ? qs.map((q) => quantile(all, q)) : null;
  }
}

// quantile goes through the bucket in a straight line, as PromQL's
// histogram_quantile does.
function quantile(buckets, q) {
  const rank = q * buckets.at(-1)[1];
  const i = buckets.findIndex(([, n]) => n >= rank);
  const [from, below] = i > 0 ? buckets[i - 1] : [0, 0];
  const [to, n] = buckets[i];
  return to === Infinity ? from : from + ((to - from) * (rank - below)) / (n - below);
}
