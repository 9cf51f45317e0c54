// The list of jobs, page by page from the server, and the orders on them.
import { call, download, key } from "/static/api.js";
import { $, el, seconds } from "/static/dom.js";

const PAGE = 20;

export class Jobs {
  constructor() { this.before = []; this.after = ""; this.items = []; this.videos = new Set(); this.looking = 0; }

  start() {
    $("post").addEventListener("submit", (e) => { e.preventDefault(); this.post(new FormData(e.target)); });
    $("filter").addEventListener("submit", (e) => { e.preventDefault(); this.anew(); });
    $("filter").elements.state.addEventListener("change", () => this.anew());
    $("older").addEventListener("click", () => { this.before.push(this.after); this.after = this.items.at(-1)?.id || ""; this.look(); });
    $("newer").addEventListener("click", () => { this.after = this.before.pop() || ""; this.look(); });
    this.look();
    setInterval(() => { if (!document.hidden) this.look(); }, 2000);
  }

  anew() { this.before = []; this.after = ""; this.look(); }

  say(text, bad = false) { $("said").textContent = text; $("said").className = bad ? "bad" : ""; }

  async order(what, done) {
    try { this.say(await what() || done); } catch (error) { this.say(error.message, true); }
    this.look();
  }

  post(form) {
    const options = { priority: form.get("priority") };
    const [name, ...value] = form.get("label").split("=");
    if (name.trim()) options.labels = { [name.trim()]: value.join("=").trim() };
    const job = { id_video: form.get("id_video"), bitrate: +form.get("bitrate"), speed: form.get("speed"), options };
    const once = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    return this.order(async () => `Posted: job ${await call("POST", "/jobs", job, { "Idempotency-Key": once })}`);
  }

  async look() {
    const mine = ++this.looking, filter = new FormData($("filter")), find = filter.get("find").trim();
    try {
      let page;
      if (find && !find.includes("=")) page = { items: [await call("GET", `/jobs/${encodeURIComponent(find)}/details`)], has_more: false };
      else {
        const ask = new URLSearchParams({ limit: PAGE, newest_first: true });
        if (this.after) ask.set("after", this.after);
        if (filter.get("state")) ask.set("state", filter.get("state"));
        if (find) ask.set("label", find);
        page = await call("GET", `/job-details?${ask}`);
      }
      if (mine === this.looking) { this.show(page); this.troubled = false; }
    } catch (error) {
      if (mine === this.looking && !this.troubled) { this.show({ items: [], has_more: false }); this.say(error.message, true); this.troubled = true; }
    }
  }

  show(page) {
    const text = JSON.stringify(page);
    if (text === this.text) return;
    this.text = text;
    this.items = page.items;
    const focus = document.activeElement?.dataset?.order;
    const rows = page.items.map((job) => this.row(job));
    if (!rows.length) { const row = el("tr"), cell = el("td", "note", "No job is so. Post one above."); cell.colSpan = 5; row.append(cell); rows.push(row); }
    $("list").tBodies[0].replaceChildren(...rows);
    if (focus) document.querySelector(`[data-order="${CSS.escape(focus)}"]`)?.focus();
    $("older").disabled = !page.has_more;
    $("newer").disabled = !this.before.length;
    const more = page.items.map((j) => j.id_video).filter((v) => !this.videos.has(v) && this.videos.size < 50);
    for (const video of new Set(more)) { this.videos.add(video); const option = el("option"); option.value = video; $("videos").append(option); }
  }

  row(job) {
    const row = el("tr"), video = el("td", "video"), state = el("td", "", job.state), progress = el("td"), orders = el("td", "orders");
    row.dataset.job = job.id;
    video.append(this.button(job, "details", job.id_video, () => this.details(job.id)), el("small", "", ` ${job.bitrate} kbit/s, ${job.speed}${job.priority === "normal" ? "" : `, ${job.priority}`}`));
    for (const [name, value] of Object.entries(job.labels)) video.append(" ", el("span", "tag", `${name}=${value}`));
    if (job.error) state.append(el("span", "error", job.error));
    if (job.state === "Started") {
      const bar = el("progress"); bar.max = 100; if (job.progress_percent !== null) bar.value = job.progress_percent;
      bar.setAttribute("aria-label", "Progress");
      progress.append(bar, el("small", "", ` ${job.step || ""} ${job.progress_percent === null ? "" : `${Math.round(job.progress_percent)} %`}`));
    } else if (job.state === "Waiting") progress.append(el("small", "", job.held ? "held" : job.queue_position ? `number ${job.queue_position} in the queue` : ""));
    else if (job.times.ended) progress.append(el("small", "", `after ${seconds((new Date(job.times.ended) - new Date(job.times.received)) / 1000)}`));
    if (job.state === "Waiting" || job.state === "Started") orders.append(this.button(job, "cancel", "Cancel", () => this.order(() => call("DELETE", `/jobs/${job.id}`).then(() => "Cancelled"))));
    if (job.state === "Error" || job.state === "Cancelled") orders.append(this.button(job, "retry", "Retry", () => this.order(() => call("POST", `/jobs/${job.id}/retry`).then(() => "It waits again"))));
    if (job.state === "Completed") orders.append(this.result(job));
    row.append(video, state, progress, el("td", "num", new Date(job.times.received).toLocaleTimeString([], { hour12: false })), orders);
    return row;
  }

  button(job, what, text, act) {
    const made = el("button", "", text);
    made.type = "button"; made.dataset.order = `${what} ${job.id}`;
    made.setAttribute("aria-label", `${text}: ${what === "details" ? "details" : job.id_video}`);
    made.addEventListener("click", act);
    return made;
  }

  result(job) {
    const path = `/jobs/${job.id}/result`;
    if (key()) return this.button(job, "result", "Download", () => this.order(async () => {
      const url = URL.createObjectURL(await download(`${path}?redirect=false`)), link = el("a");
      link.href = url; link.download = job.output_video; link.click(); setTimeout(() => URL.revokeObjectURL(url), 60000);
      return "Downloaded";
    }));
    const link = el("a", "", "Download");
    link.href = path; link.download = job.output_video; link.setAttribute("aria-label", `Download: ${job.id_video}`);
    return link;
  }

  async details(id) {
    try {
      const job = await call("GET", `/jobs/${id}/details`), facts = [["id", job.id], ["video", job.id_video], ["state", job.state]];
      if (job.error) facts.push(["why", job.error]);
      if (job.expected) facts.push(["expected", `${when(job.expected.likely)} (${when(job.expected.earliest)} to ${when(job.expected.latest)})`]);
      facts.push(["attempts", job.attempts], ["worker", job.worker_id || "none"]);
      for (const [name, time] of Object.entries(job.times)) if (time) facts.push([name, when(time)]);
      for (const attempt of job.failed_attempts) facts.push([`failed ${when(attempt.time)}`, attempt.reason]);
      $("job-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", "", name), el("dd", "", String(value))]));
      $("job").showModal();
    } catch (error) { this.say(error.message, true); }
  }
}

function when(time) { return new Date(time).toLocaleTimeString([], { hour12: false }); }
