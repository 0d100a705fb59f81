// Opens pages in Chromium and prints what they showed as JSON. Arguments: a
// directory for pictures, and NAME=URL for each page.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [pictures, ...pages] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "tcpcopy-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// Each figure that the page gives: the tiles by name, then the words of each box.
const figures = () => ({
  ...Object.fromEntries([...document.querySelectorAll(".tile dd[id]")].map((e) => [e.id, e.textContent])),
  ...Object.fromEntries([...document.querySelectorAll("section")].map((e) => [e.querySelector("h2").textContent, e.innerText])),
  state: document.getElementById("state").className,
});

const shows = {};
for (const page of pages) {
  const [name, url] = page.split(/=(.*)/s);
  const seen = { errors: [], requests: [], overflow: {} };
  const p = await context.newPage();
  p.on("console", (m) => ["error", "warning"].includes(m.type()) && seen.errors.push(m.text()));
  p.on("pageerror", (err) => seen.errors.push(String(err)));
  p.on("request", (r) => seen.requests.push(r.url()));
  await p.setViewportSize({ width: 1280, height: 900 });
  await p.goto(url);
  await p.waitForFunction(() => document.querySelector(".chart path"));
  seen.before = await p.evaluate(figures);
  await p.waitForTimeout(5000);
  seen.after = await p.evaluate(figures);
  for (const [scheme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
    await p.emulateMedia({ colorScheme: scheme });
    await p.setViewportSize({ width, height: 900 });
    await p.waitForTimeout(100); // the charts follow the width
    seen.overflow[width] = await p.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await p.screenshot({ path: join(pictures, `${name}-${scheme}-${width}.png`), fullPage: true });
  }
  p.removeAllListeners("console"); // Chromium reports what comes now
  await p.route("**/metrics", (r) => r.abort());
  await p.waitForSelector("#state.lost");
  await p.close();
  shows[name] = seen;
}
await context.close();
rmSync(profile, { recursive: true, force: true });
console.log(JSON.stringify(shows));
