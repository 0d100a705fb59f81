// What is worth seeing of a tcpcopy: whether the copy is good, then a packet's
// way.

import { bar, card, chart, format, span, stack, table, tiles } from "./draw.js";
import { drawShares } from "./shares.js";

const minute = 60;

// Reasons that are no loss: what is not wanted, or the client had sent before.
const intended = new Set([
  "not_matched", "not_ip", "not_tcp", "sampled_out", "incomplete", "stray_end", "duplicate", "midstream", "tls", "ssh",
  "shutting_down", "shutdown",
]);

const states = ["established", "closing", "time_wait", "syn_sent", "opening", "parked", "watching", "skipping"];

const times = [
  ["connect", "tcpcopy_target_connect_seconds"],
  ["first byte", "tcpcopy_target_first_byte_seconds"],
  ["copy lag", "tcpcopy_copy_lag_seconds"],
];

const matched = (s) => s.sum("tcpcopy_matched_payload_bytes_total");
const delivered = (s) => s.sum("tcpcopy_delivered_payload_bytes_total");
const turns = (result) => (s) => s.sum("tcpcopy_turns_total", result && { result });
const kernelDrops = (s) => s.sum("tcpcopy_capture_kernel_drops_total");
const cpu = (s) => s.sum("process_cpu_seconds_total");

export function view(main) {
  const tile = tiles(main, {
    ratio: "copy ratio", payload: "payload delivered", turns: "requests copied", sessions: "sessions", drops: "lost by the ring", cpu: "CPU",
  });
  const rates = chart(
    card(main, "Production and copy", "payload of the clients, and what of it the target acknowledged", "wide"),
    [{ name: "production", kind: "production" }, { name: "copy", kind: "copy" }],
    format.byteRate,
  );
  const funnel = card(main, "Handshakes", "since the start");
  const latency = card(main, "Times", "of the last minute, on a scale of 10 µs to 10 s");
  const packets = card(main, "Packets not copied", "captured, and given to no session");
  const payload = card(main, "Payload not delivered", "of what sessions took");
  const sessions = card(main, "Sessions", "by their state towards the target");
  const requests = card(main, "Requests", "what a client sends between two answers");
  const rings = card(main, "Capture", "a ring for each worker");
  const links = card(main, "Links", "to the intercepts that send the replies' headers");

  return (h) => {
    drawTiles(tile, h);
    rates([h.rates(matched), h.rates(delivered)], h.width);
    drawFunnel(funnel, h);
    drawTimes(latency, h);
    drawDrops(packets, h, "tcpcopy_dropped_packets_total", { stage: "capture" }, format.rate, format.count, "Every packet was copied.");
    drawDrops(payload, h, "tcpcopy_dropped_payload_bytes_total", { stage: "session" }, format.byteRate, format.bytes, "Every byte was delivered, or waits for it.");
    stack(sessions, states.map((state) => [state.replace("_", " "), h.last.sum("tcpcopy_sessions", { state })]));
    drawShares(requests, h, "tcpcopy_turns_total", "result", { copied: "good", unanswered: "warn", lost: "bad" });
    drawRings(rings, h);
    drawLinks(links, h);
  };
}

function drawTiles(tile, h) {
  const s = h.last;
  const share = (f, all, of) => (of(all) > 0 ? of(f) / of(all) : NaN);
  const lately = (f) => h.increase(f, minute), ever = (f) => f(s);
  const tone = (x) => (Number.isNaN(x) ? "" : x >= 0.999 ? "good" : x >= 0.95 ? "warn" : "bad");
  const copied = share(turns("copied"), turns(), lately);
  tile.ratio(format.percent(copied), `${format.percent(share(turns("copied"), turns(), ever))} since the start`, tone(copied));
  const copies = s.sum("tcpcopy_copies_requested") || 1;
  tile.payload(format.percent(Math.min(1, share(delivered, matched, lately) / copies)), `${format.bytes(delivered(s))} since the start`);
  tile.turns(format.rate(h.rate(turns("copied"), minute)), `${format.count(turns("copied")(s))} since the start`);
  tile.sessions(format.count(s.sum("tcpcopy_sessions", { state: "established" })),
    `established; new: ${format.rate(h.rate((x) => x.sum("tcpcopy_online_connections_total"), minute))}`);
  tile.drops(format.count(lately(kernelDrops)), `${format.count(kernelDrops(s))} since the start`, lately(kernelDrops) > 0 ? "bad" : "");
  tile.cpu(`${format.count(100 * h.rate(cpu, minute))}\u202f%`, `${format.bytes(s.sum("process_resident_memory_bytes"))} of memory`);
}

function drawFunnel(body, h) {
  const s = h.last;
  const result = (name) => (x) => x.sum("tcpcopy_handshakes_total", { result: name });
  const copies = s.sum("tcpcopy_copies_requested");
  const rows = [
    [copies > 1 ? `clients’ connections × ${copies}` : "clients’ connections", (x) => x.sum("tcpcopy_online_connections_total") * copies, ""],
    ["opened at the target", result("sent"), ""],
    ["established", result("established"), "good"],
    ["opened again after an early end", (x) => x.sum("tcpcopy_sessions_reopened_total"), ""],
    ["refused (RST), tried again", result("reset"), "warn"],
    ["given up without an answer", result("timeout"), "bad"],
    ["no free address and port", (x) => x.sum("tcpcopy_endpoint_allocation_failures_total"), "bad"],
  ].filter(([, f], i) => i < 3 || f(s) > 0);
  const most = Math.max(...rows.map(([, f]) => f(s)));
  table(body, ["", "", "now", "all"], rows.map(([name, f, tone]) => [name, bar(f(s) / most, tone), format.rate(h.rate(f, 10)), format.count(f(s))]));
}

function drawTimes(body, h) {
  const rows = times.map(([name, metric]) => [name, h.quantiles(metric, [0.5, 0.9, 0.99], minute)]).filter(([, q]) => q);
  table(body, ["", "", "median", "90 %", "99 %"], rows.map(([name, q]) => [name, span(q[0], q[2]), ...q.map(format.seconds)]), "Nothing was measured yet.");
}

function drawDrops(body, h, name, match, rate, amount, empty) {
  const rows = [...h.last.by(name, "reason", match)].filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  const most = Math.max(...rows.map(([, n]) => n));
  table(body, ["", "", "now", "all"], rows.map(([reason, n]) => [
    reason.replaceAll("_", " "), bar(n / most, intended.has(reason) ? "" : "bad"),
    rate(h.rate((s) => s.sum(name, { ...match, reason }), 10)), amount(n),
  ]), empty);
}

function drawRings(body, h) {
  table(body, ["", "packets", "bytes", "lost", "times full"], h.last.all("tcpcopy_capture_packets_total").map(({ labels }) => {
    const of = (name) => (s) => s.sum(name, labels);
    return [
      `${labels.interface} ${labels.ring}`, format.rate(h.rate(of("tcpcopy_capture_packets_total"), 10)),
      format.byteRate(h.rate(of("tcpcopy_capture_bytes_total"), 10)),
      format.count(h.last.sum("tcpcopy_capture_kernel_drops_total", labels)), format.count(h.last.sum("tcpcopy_capture_ring_freezes_total", labels)),
    ];
  }), "A recording is replayed.");
}

function drawLinks(body, h) {
  table(body, ["", "open", "round trip", "replies", "lost"], h.last.all("tcpcopy_link_up").map(({ labels, value }) => [
    labels.intercept, value > 0 ? format.count(value) : Object.assign(document.createElement("td"), { className: "bad", textContent: "down" }),
    format.seconds(h.last.sum("tcpcopy_link_rtt_seconds", labels)),
    format.rate(h.rate((s) => s.sum("tcpcopy_link_records_total", labels), 10)), format.count(h.last.sum("tcpcopy_link_dropped_records_total", labels)),
  ]), "Replies are captured on this host.");
}
