// One small chart over kimg, drawn by uPlot: raw values faint, their moving mean above them, findings as bands.
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { html, number } from "./parts.js";
import { useTheme } from "./theme.js";

const HEIGHT = 190;
const PER_CURVE = 4; // lowest, highest, mean, moving mean

/** The colour of a statistic: D and reals have one, G and fakes another, on every chart. */
export function colourOf(name, place) {
  if (/after$/.test(name)) return "--curve-3";
  if (/(^|\s)D$|D\(x\)|real/.test(name)) return "--curve-1";
  if (/(^|\s)G$|D\(G|fake/.test(name)) return "--curve-2";
  return `--curve-${(place % 3) + 4}`;
}

function movingMean(values) {
  const width = Math.floor(values.length / 100);
  if (width < 1) return values;
  const sums = [0], counts = [0];
  values.forEach((value, i) => {
    sums.push(sums[i] + (value ?? 0));
    counts.push(counts[i] + (value !== null));
  });
  return values.map((value, i) => {
    const from = Math.max(0, i - width), to = Math.min(values.length, i + width + 1);
    return value === null ? null : (sums[to] - sums[from]) / (counts[to] - counts[from]);
  });
}

function table(times, curves, log) {
  const drawn = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
  const columns = curves.flatMap(({ min, max, mean, points }) => [
    drawn(min), drawn(max), drawn(mean), drawn(points ? mean : movingMean(mean)),
  ]);
  const own = (i) => columns.slice(PER_CURVE * i, PER_CURVE * (i + 1));
  return uPlot.join(curves.map((curve, i) => [curve.kimg ?? times, ...own(i)]));
}

function resolved(host) {
  const probe = host.appendChild(document.createElement("i"));
  const colour = (name, alpha = 1) => {
    probe.style.color = `var(${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g);
    return `rgba(${r}, ${g}, ${b}, ${alpha})`;
  };
  return { colour, done: () => probe.remove() };
}

/** Calls `draw` for each finding with the pixels of its time, and lets nothing be drawn outside the plot. */
function onBands({ ctx, bbox, valToPos }, bands, draw) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const right = bbox.left + bbox.width;
  bands.forEach((band, row) => {
    const from = Math.max(bbox.left, valToPos(band.since, "x", true));
    draw(ctx, bbox, from, band.until === null ? right : Math.min(right, valToPos(band.until, "x", true)), band, row);
  });
  ctx.restore();
}

/** Shades the times of each finding, under the curves. */
const shade = (plot, bands, colour) => onBands(plot, bands, (ctx, { top, height }, from, to) => {
  ctx.fillStyle = colour.band;
  ctx.fillRect(from, top, Math.max(2, to - from), height);
  ctx.fillStyle = colour.edge;
  ctx.fillRect(from, top, devicePixelRatio, height);
});

/** Writes the name of each finding on its band, over the curves. */
const entitle = (plot, bands, colour) => onBands(plot, bands, (ctx, { left, top, width }, from, to, { title }, row) => {
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  const wide = ctx.measureText(title).width, pad = 4 * devicePixelRatio, high = 15 * devicePixelRatio;
  const x = Math.max(left + 2 * pad, Math.min(from + 2 * pad, left + width - wide - 2 * pad));
  const y = top + pad + (row + 0.5) * high;
  ctx.fillStyle = colour.plate;
  ctx.fillRect(x - pad, y - high / 2, wide + 2 * pad, high);
  ctx.fillStyle = colour.label;
  ctx.fillText(title, x, y);
});

function build(host, names, curves, now, { log, fixed, dashed }) {
  const { colour, done } = resolved(host);
  const stroke = colour("--muted"), grid = { stroke: colour("--line"), width: 1 };
  const font = "12px system-ui, sans-serif";
  const shading = { band: colour("--warn", 0.14), edge: colour("--warn", 0.7), label: colour("--warn-text"),
    plate: colour("--warn-tint", 0.9) };
  const series = names.flatMap((name, i) => {
    const token = curves[i].colour ?? colourOf(name, i), points = curves[i].points;
    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    const dash = dashed?.includes(name) || /after$/.test(name) ? [5, 4] : undefined;
    const main = { label: name, stroke: colour(token), width: 1.8, dash, spanGaps: true };
    return [hidden, hidden, { ...hidden, stroke: colour(token, points ? 0 : 0.32), width: points ? 0 : 1 },
      { ...main, points: { show: Boolean(points), size: 6, fill: colour(token) } }];
  });
  const bands = names.map((name, i) => ({
    series: [PER_CURVE * i + 2, PER_CURVE * i + 1], fill: colour(curves[i].colour ?? colourOf(name, i), 0.16),
  }));
  const axis = { stroke, grid, font, ticks: { show: false } };
  const tick = (value) => (value === null ? "" : number(value));
  const powers = (_, splits) => splits.map((split) => (Math.abs(Math.log10(split) % 1) < 1e-9 ? split : null));
  const plot = new uPlot({
    width: host.clientWidth || 300, height: HEIGHT, padding: [10, 10, 0, 0],
    scales: {
      x: { time: false, range: () => now.current.domain },
      y: { distr: log ? 3 : 1, range: fixed ? () => fixed : undefined },
    },
    axes: [
      { ...axis, size: 28, values: (_, ticks) => ticks.map((value) => number(value)) },
      { ...axis, size: 52, grid: log ? { ...grid, filter: powers } : grid, values: (_, ticks) => ticks.map(tick) },
    ],
    series: [{}, ...series], bands, legend: { show: false },
    cursor: { sync: { key: now.current.sync }, drag: { x: true, y: false, setScale: false }, points: { show: false },
      bind: { dblclick: () => () => now.current.onZoom?.(null) } },
    hooks: {
      drawClear: [(u) => shade(u, now.current.bands, shading)],
      draw: [(u) => entitle(u, now.current.bands, shading)],
      setCursor: [(u) => now.current.tell(u.cursor.idx)],
      setSelect: [(u) => {
        const { left, width } = u.select;
        if (width < 6) return;
        now.current.onZoom?.([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  }, now.current.data, host);
  done();
  return plot;
}

/**
 * `curves`: {name: {min, max, mean, kimg?, points?, colour?}} over the times `kimg`; `bands`: findings;
 * `domain`: what is shown of the times; dragging over the chart calls `onZoom([from, to])`, a double click `onZoom(null)`.
 */
export function Chart({ title, kimg: times, curves, bands = [], domain, onZoom, sync = "run", ...style }) {
  const host = useRef(), plot = useRef(), told = useRef({}), now = useRef({});
  const theme = useTheme();
  const names = Object.keys(curves), values = Object.values(curves);
  const data = useMemo(() => table(times, values, style.log), [times, curves, style.log]);
  const tell = (idx) => names.forEach((name, i) => {
    const column = data[PER_CURVE * (i + 1)];
    let at = idx ?? column.length - 1;
    while (at > 0 && (column[at] ?? null) === null) at--;
    if (told.current[name]) told.current[name].textContent = number(column[at]);
  });
  now.current = { domain, bands, onZoom, tell, sync, data };
  useEffect(() => {
    const place = host.current;
    const made = (plot.current = build(place, names, values, now, style));
    const sized = new ResizeObserver(() => made.setSize({ width: place.clientWidth, height: HEIGHT }));
    sized.observe(place);
    return () => {
      sized.disconnect();
      made.destroy();
    };
  }, [theme, names.join("|"), style.log]);
  useEffect(() => {
    plot.current.setData(data);
    tell(null);
  }, [data, domain[0], domain[1], bands]);
  const last = names.map((name) => `${name} ${number(values[names.indexOf(name)].mean.at(-1))}`).join(", ");
  return html`
    <figure class="chart">
      <figcaption><h3>${title}</h3>
        <ul class="legend">${names.map((name, i) => html`<li key=${name}>
          <span class=${`swatch ${/after$/.test(name) ? "dashed" : ""}`}
            style=${{ color: `var(${values[i].colour ?? colourOf(name, i)})` }}></span>${name}
          <span class="value" ref=${(element) => (told.current[name] = element)}></span></li>`)}</ul>
      </figcaption>
      <div class="plot" ref=${host} role="img" aria-label=${`${title} over kimg. Last: ${last}.`}></div>
    </figure>`;
}

/** The lines of metrics as a curve with its interval for each metric: [[name, curve], ...]. */
export function byMetric(lines) {
  const names = [...new Set(lines.map((line) => line.metric))];
  return names.map((name) => {
    const own = lines.filter((line) => line.metric === name && Number.isFinite(line.value));
    const [min, max, mean] = ["low", "high", "value"].map((key) => own.map((line) => line[key] ?? line.value));
    return [name, { kimg: own.map((line) => line.kimg), min, max, mean, points: true }];
  }).filter(([, { kimg: times }]) => times.length);
}

/** A sparkline: some numbers as one thin line. */
export function Spark({ values, label }) {
  const known = (values ?? []).filter((value) => Number.isFinite(value));
  if (known.length < 2) return null;
  const low = Math.min(...known), high = Math.max(...known);
  const step = 100 / (known.length - 1);
  const up = (value) => 26 - (24 * (value - low)) / (high - low || 1);
  const points = known.map((value, i) => `${(i * step).toFixed(1)},${up(value).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label=${label}>
    <polyline points=${points.join(" ")} /></svg>`;
}
