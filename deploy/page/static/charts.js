// The last half hour, drawn by uPlot.
import { $ } from "/static/dom.js";

const NAMES = ["time", "waiting", "service", "booting", "idle", "busy", "draining", "cpu", "cpuUsed", "ram", "ramUsed", "delay"];
const CHARTS = [
  ["c-workers", [["busy", "--busy"], ["idle", "--idle"], ["booting", "--booting"], ["draining", "--draining"]], true],
  ["c-jobs", [["waiting", "--bad"], ["service", "--busy"]], false],
  ["c-delay", [["delay", "--accent"]], false],
  ["c-cpu", [["cpu", "--accent"], ["cpuUsed", "--busy"]], false],
  ["c-ram", [["ram", "--accent"], ["ramUsed", "--busy"]], false],
];
const LABELS = { service: "in process", cpu: "reserved", cpuUsed: "used", ram: "reserved", ramUsed: "used" };

export class Charts {
  constructor() {
    this.plots = new Map();
    const again = () => { for (const plot of this.plots.values()) plot.destroy(); this.plots.clear(); if (this.samples) this.show(this.samples, true); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    let timer;
    addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 200); });
  }

  show(samples, anew = false) {
    const latest = samples.length ? samples[samples.length - 1][0] : 0;
    if (latest === this.latest && !anew) return;
    this.latest = latest;
    this.samples = samples;
    const columns = Object.fromEntries(NAMES.map((name, i) => [name, samples.map((s) => (s[i] < 0 ? null : s[i]))]));
    for (const [id, series, stacked] of CHARTS) {
      let data = series.map(([name]) => columns[name]);
      if (stacked) for (let i = 1; i < data.length; i++) data[i] = data[i].map((x, at) => x + data[i - 1][at]);
      if (stacked) { data = data.reverse(); }
      this.plot(id, stacked ? [...series].reverse() : series, stacked, [columns.time, ...data], latest);
    }
  }

  plot(id, series, stacked, data, latest) {
    let plot = this.plots.get(id);
    if (!plot) {
      const css = getComputedStyle(document.documentElement), colour = (name) => css.getPropertyValue(name).trim();
      const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      plot = new uPlot({
        width: $(id).clientWidth, height: 150, cursor: { y: false, points: { show: false } }, legend: { live: false },
        scales: { x: { range: () => [Math.max(this.latest - 1800, Math.min(this.samples[0]?.[0] ?? 0, this.latest - 300)), this.latest] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
        axes: [{ ...axis, space: 60, size: 24, incrs: [60, 120, 300, 600], values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit" })) }, { ...axis, size: 38 }],
        series: [{}, ...series.map(([name, of]) => ({ label: LABELS[name] || name, stroke: colour(of), width: stacked ? 0 : 1.8, fill: stacked ? colour(of) : undefined, points: { show: false }, spanGaps: false, paths: stacked ? uPlot.paths.stepped({ align: 1 }) : undefined }))],
      }, data, $(id));
      this.plots.set(id, plot);
    } else plot.setData(data);
  }
}
