// The page: reads /metrics every two seconds and lets the view of the tool
// draw it. Nothing is read while nobody looks.

import { History, Sample, parse } from "./metrics.js";
import { format } from "./draw.js";
import { view as tcpcopy } from "./tcpcopy.js";
import { view as intercept } from "./intercept.js";

const every = 2000; // ms
const state = document.getElementById("state");
const history = new History();
const show = { tcpcopy, intercept }[document.documentElement.dataset.tool]?.(document.getElementById("view"));

function say(kind, text) {
  state.className = kind;
  state.textContent = text;
}

async function read() {
  const answer = await fetch("/metrics", { cache: "no-store", signal: AbortSignal.timeout(2 * every) });
  if (!answer.ok) throw new Error(`/metrics answers ${answer.status}`);
  history.push(new Sample(performance.now() / 1000, parse(await answer.text())));
  const now = history.last;
  const up = Date.now() / 1000 - now.sum("process_start_time_seconds");
  say("live", `live, running for ${format.duration(Math.max(0, up))}`);
  show?.(history);
}

async function tick() {
  try {
    if (!document.hidden) await read();
  } catch (err) {
    say("lost", `no figures: ${err.message}`);
  }
  setTimeout(tick, every);
}
tick();
