// The live page. Whatever the server sends goes into the page as text, never as markup.
import { call, follow, key, setKey } from "/static/api.js";
import { Charts } from "/static/charts.js";
import { Jobs } from "/static/jobs.js";
import { $, clock, el, seconds } from "/static/dom.js";

const dial = $("dial");
const charts = new Charts();
const jobs = new Jobs();
let turning = 0;      // the operator holds the dial: what arrives does not move it
let shown = "";
let again;            // the next question for the comparison

function word(w) { return w < 0.4 ? "lean" : w > 0.6 ? "fast" : "balanced"; }

function number(x) { return x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : +x.toFixed(2) + ""; }

function tiles(s) {
  const c = s.counts, workers = c.booting + c.idle + c.busy + c.draining;
  $("t-waiting").textContent = c.waiting + c.held;
  $("t-oldest").textContent = c.waiting + c.held ? `the oldest for ${seconds(s.oldest_wait_s)}` : "nothing waits";
  $("t-service").textContent = c.in_service;
  $("t-workers").textContent = `${workers} worker${workers === 1 ? "" : "s"}, ${c.booting} booting`;
  $("t-delay").textContent = s.delay_s.median === null ? "–" : seconds(s.delay_s.median);
  $("t-p95").textContent = s.delay_s.p95 === null ? "no job ended lately" : `19 of 20 within ${seconds(s.delay_s.p95)}`;
  const share = (x) => x.capacity ? `${Math.round(100 * x.reserved / x.capacity)} %` : "–";
  $("t-cpu").textContent = share(s.cpu);
  $("t-cpu-used").textContent = `${number(s.cpu.reserved)} of ${number(s.cpu.capacity)}, ${number(s.cpu.used)} used`;
  $("t-ram").textContent = share(s.ram_gib);
  $("t-ram-used").textContent = `${number(s.ram_gib.reserved)} of ${number(s.ram_gib.capacity)} GiB, ${number(s.ram_gib.used)} used`;
  $("why").hidden = !s.why_waiting;
  $("why").textContent = s.why_waiting && `Why jobs wait: ${s.why_waiting}`;
}

function nodes(s) {
  const rows = s.nodes.map((node, index) => {
    const bar = el("div", "bar");
    const workers = s.workers.filter((w) => w.node === index);
    const states = {};
    for (const w of workers) {
      const flavor = s.flavors[w.flavor], doing = w.phase || w.state;
      const block = el("span", `w ${w.state}`, `${flavor.name} ${doing}`);
      block.style.flexBasis = `${100 * flavor.vcpus / node.vcpus}%`;
      block.title = `${w.id}: ${flavor.name}, ${doing} for ${seconds(s.time - w.since)}${w.video && `, ${w.video}`}`;
      states[w.state] = (states[w.state] || 0) + 1;
      bar.append(block);
    }
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", Object.entries(states).map(([k, n]) => `${n} ${k}`).join(", ") || "no workers");
    const name = el("div", "name", node.name);
    name.title = node.name;
    name.append(el("small", "", `${number(node.vcpus)} vCPUs, ${workers.length} worker${workers.length === 1 ? "" : "s"}`));
    const row = el("div", "node");
    row.append(name, bar);
    return row;
  });
  $("nodes").replaceChildren(...rows);
}

function decisions(s) {
  const last = s.latest_decision;
  $("latest").textContent = last ? `${clock(last.time)}: ${last.words}.` : "It has not been asked yet.";
  const text = JSON.stringify(s.decisions);
  if (text === shown) return;
  shown = text;
  $("decisions").replaceChildren(...s.decisions.map((d) => {
    const line = el("li", d.kind), words = d.times > 1 ? `${d.words} (${d.times} times)` : d.words;
    const said = el("span", "", words);
    if (d.after) said.append(el("small", "", d.after));
    line.append(el("time", "", clock(d.time)), said, el("span", `tag ${d.source}`, d.source || "event"));
    return line;
  }));
}

function showDial(w) { $("dial-now").textContent = `w = ${(+w).toFixed(2)}, ${word(w)}`; dial.setAttribute("aria-valuetext", `${(+w).toFixed(2)}, ${word(w)}`); }

dial.addEventListener("input", () => { turning = Date.now(); showDial(dial.value); });
dial.addEventListener("change", async () => {
  turning = Date.now();
  try {
    const now = await call("PUT", "/live/preference", { preference: +dial.value });
    showDial(now.preference);
    compare();
  } catch (error) { $("dial-now").textContent = `Not turned: ${error.message}`; turning = Date.now() + 4000; }
});

async function compare() {
  try {
    const found = await call("GET", "/live/comparison");
    clearTimeout(again);
    if (found.running || found.state !== "made") again = setTimeout(compare, found.running ? 3000 : 12000);
    $("cmp").hidden = found.state !== "made";
    if (found.state !== "made") { $("cmp-note").textContent = found.running ? "It is being simulated ..." : `Not known yet: ${found.why}`; return; }
    $("cmp-note").textContent = `${found.requests} jobs simulated again; ${found.running ? "a newer one is being made" : `at ${clock(found.time)}`}.` + (found.substituted ? ` For ${found.substituted} of them the video's length is not known.` : "");
    const most = Math.max(...found.rows.map((r) => r.delay_s)), dearest = Math.max(...found.rows.map((r) => r.core_hours));
    const nearest = found.rows.filter((r) => !r.naive).reduce((a, b) => Math.abs(b.preference - dial.value) < Math.abs(a.preference - dial.value) ? b : a);
    $("cmp").tBodies[0].replaceChildren(...found.rows.map((r) => {
      const row = el("tr", r.naive ? "naive" : r === nearest ? "chosen" : "");
      row.append(el("td", "", r.naive ? `naive: ${r.policy}` : `${r.preference.toFixed(1)} ${word(r.preference)}`), bar(r.delay_s / most, seconds(r.delay_s)), bar(r.core_hours / dearest, r.core_hours < 0.5 ? `${number(60 * r.core_hours)} core-min` : `${number(r.core_hours)} core-h`));
      return row;
    }));
  } catch (error) { $("cmp-note").textContent = `Not known: ${error.message}`; }
}

function bar(share, text) {
  const cell = el("td", "num", text), meter = el("span", "meter");
  meter.style.width = `${Math.max(2, 70 * share)}px`;
  cell.append(meter);
  return cell;
}

function link(kind, text) { $("link").className = `pill ${kind}`; if ($("link").textContent !== text) $("link").textContent = text; }

function show(s) {
  link("live", "live");
  $("h-why").title = `policy ${s.policy}, fallback ${s.fallback}`;
  tiles(s); nodes(s); decisions(s); charts.show(s.samples);
  if (Date.now() - turning > 2000) { dial.value = s.preference; showDial(s.preference); }
}

async function askKey() {
  $("key-text").value = "";
  $("ask-key").returnValue = "";
  if (!$("ask-key").open) $("ask-key").showModal();
}
$("ask-key").addEventListener("close", () => { if ($("ask-key").returnValue === "ok") { setKey($("key-text").value); location.reload(); } });
$("key").addEventListener("click", askKey);

follow({ cluster: show, away: (why) => link("away", `out of date: ${why}`), locked: () => { link("away", "needs a key"); if (!key()) askKey(); } });
jobs.start();
compare();
setInterval(() => { if (!document.hidden) compare(); }, 60000);
