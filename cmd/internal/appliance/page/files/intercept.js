// What is worth seeing of an intercept: what becomes of the replies, and whom
// they go to.

import { card, chart, format, table, tiles } from "./draw.js";
import { drawShares } from "./shares.js";

const minute = 60;

const captured = (s) => s.sum("intercept_replies_captured_total");
const result = (name) => (s) => s.sum("intercept_replies_total", { result: name });
const kernelDrops = (s) => s.sum("intercept_capture_kernel_drops_total");

export function view(main) {
  const tile = tiles(main, {
    forwarded: "forwarded", replies: "replies captured", tcpcopys: "tcpcopys", waiting: "waiting", drops: "lost by the ring", leaks: "leaks",
  });
  const rates = chart(
    card(main, "Replies", "captured here, and forwarded to a tcpcopy", "wide"),
    [{ name: "captured", kind: "production" }, { name: "forwarded", kind: "copy" }],
    format.rate,
  );
  const became = card(main, "What became of the replies", "since the start");
  const malformed = card(main, "Not a TCP segment", "captured packets that cannot be replies; a narrower -F keeps them out");
  const links = card(main, "Links", "from the tcpcopys that the replies go to");
  const capture = card(main, "Capture", "a ring for each interface");

  return (h) => {
    drawTiles(tile, h);
    rates([h.rates(captured), h.rates(result("forwarded"))], h.width);
    drawShares(became, h, "intercept_replies_total", "result", {
      forwarded: "good", no_session: "", link_down: "bad", expired: "warn", dropped: "bad", malformed: "",
    });
    drawShares(malformed, h, "intercept_malformed_packets_total", "reason", {});
    table(links, ["", "peer", "round trip"], h.last.all("intercept_link_rtt_seconds").map(({ labels, value }) => [
      labels.tcpcopy, labels.peer, format.seconds(value),
    ]), "None has told its round trip yet.");
    table(capture, ["", "packets", "all", "lost"], h.last.all("intercept_capture_packets_total").map(({ labels, value }) => [
      labels.interface, format.rate(h.rate((s) => s.sum("intercept_capture_packets_total", labels), 10)), format.count(value),
      format.count(h.last.sum("intercept_capture_kernel_drops_total", labels)),
    ]));
  };
}

function drawTiles(tile, h) {
  const s = h.last;
  const lately = h.increase(captured, minute);
  const share = lately > 0 ? h.increase(result("forwarded"), minute) / lately : NaN;
  tile.forwarded(format.percent(Math.min(1, share)), `${format.count(result("forwarded")(s))} since the start`);
  tile.replies(format.rate(h.rate(captured, minute)), `${format.count(captured(s))} since the start`);
  tile.tcpcopys(format.count(s.sum("intercept_tcpcopys")), `links: ${format.count(s.sum("intercept_links"))}, refused: ${format.count(s.sum("intercept_links_refused_total"))}`,
    s.sum("intercept_tcpcopys") ? "" : "warn");
  tile.waiting(format.count(s.sum("intercept_replies_queued")), `for a tcpcopy; for a claim: ${format.count(s.sum("intercept_replies_held"))}`);
  tile.drops(format.count(h.increase(kernelDrops, minute)), `${format.count(kernelDrops(s))} since the start`);
  const leaks = s.sum("intercept_leaks");
  tile.leaks(format.count(leaks), leaks ? "REPLIES REACH REAL CLIENTS" : `of claims: ${format.count(s.sum("intercept_claims") + s.sum("intercept_flows"))}`,
    leaks ? "bad" : "");
}
