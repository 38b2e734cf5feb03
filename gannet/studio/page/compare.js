// Runs side by side: curves overlaid, grids of the same noise, what was measured.
import { useMemo, useState } from "preact/hooks";
import { byMetric, Chart } from "./chart.js";
import { Card, comparing, Failure, html, kimg, Loading, number, pageOf, Picture, query, useAsk } from "./parts.js";

const FIRST = ["loss G", "loss D", "D(x)", "D(G(z))", "logit real", "logit fake"];
const COLOURS = 6;

const colour = (i) => `--curve-${(i % COLOURS) + 1}`;
const Swatch = ({ place }) => html`<span class="swatch" style=${{ color: `var(${colour(place)})` }}></span>`;

export function Compare({ query: given }) {
  const chosen = given.getAll("runs");
  return html`<h1>Compare</h1>
    <${Choose} chosen=${chosen} />
    ${chosen.length > 1
      ? html`<${Compared} key=${chosen.join("/")} chosen=${chosen} />`
      : html`<div class="empty"><h2>Choose two runs or more</h2>
          <p>Their curves are laid over each other, their samples of the same noise stand one below the other, and what was
            measured is in one table. Runs of one recipe that differ in one setting tell the most.</p></div>`}`;
}

function Choose({ chosen }) {
  const { data: runs, error } = useAsk("api/runs");
  const flip = (name) => {
    const next = chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name];
    location.hash = comparing(next);
  };
  const names = [...new Set([...(runs ?? []).map(({ name }) => name), ...chosen])]; // a removed one can be left out
  return html`<${Failure}>${error}<//>
    ${runs && html`<ul class="chips" aria-label="Runs to compare">${names.map((name) => html`<li key=${name}>
      <button class="chip" aria-pressed=${chosen.includes(name)} onClick=${() => flip(name)}>
        ${chosen.includes(name) && html`<${Swatch} place=${chosen.indexOf(name)} />`}${name}</button></li>`)}</ul>`}`;
}

function Compared({ chosen }) {
  const { data, error } = useAsk(`api/compare?${query({ runs: chosen })}`);
  if (error) return html`<${Failure}>${error}<//>`;
  if (!data) return html`<${Loading} what="Reading the runs and drawing their samples" />`;
  return html`
    <${Overlaid} runs=${data.runs} />
    <${Card} title="Samples of the same noise">
      <ul class="grids">${data.runs.map((run, i) => html`<li key=${run.name}>
        <${Picture} src=${run.grid} alt=${`Samples of ${run.name}`} class="grid-picture" />
        <p><${Swatch} place=${i} /><a href=${pageOf("run", run.name)}>${run.name}</a>
          ${" "}<span class="muted">${kimg(run.kimg)} kimg</span></p></li>`)}</ul>
    <//>
    <${Measured} data=${data} />
    <${Differences} groups=${data.table?.groups ?? []} />`;
}

function Overlaid({ runs }) {
  const common = useMemo(() => {
    const [first, ...others] = runs.map((run) => Object.keys(run.curves.series));
    return first.filter((name) => others.every((names) => names.includes(name)));
  }, [runs]);
  const [shown, show] = useState(() => {
    const first = FIRST.filter((name) => common.includes(name)).slice(0, 4);
    return first.length ? first : common.slice(0, 2);
  });
  const [zoom, setZoom] = useState(null);
  const measured = useMemo(() => overlaid(runs), [runs]);
  const times = runs.flatMap((run) => [...run.curves.kimg.slice(-1), ...run.metrics.map((line) => line.kimg)]);
  const end = Math.max(...times, 1e-3);
  const charts = useMemo(() => {
    const curve = ({ curves: { kimg, series } }, name, i) => ({ ...series[name], kimg, colour: colour(i) });
    return shown.map((name) => [name, Object.fromEntries(runs.map((run, i) => [run.name, curve(run, name, i)]))]);
  }, [runs, shown]);
  const flip = (name) => show(shown.includes(name) ? shown.filter((one) => one !== name) : [...shown, name]);
  return html`
    <${Card} title="Curves">
      <div class="charts">${[...charts, ...measured].map(([name, curves]) => html`<${Chart} key=${name} title=${name} curves=${curves}
        domain=${zoom ?? [0, end]} onZoom=${setZoom} sync="compare" />`)}</div>
      ${common.length
        ? html`<details><summary>Which statistics</summary><ul class="chips">${common.map((name) => html`
            <li key=${name}><button class="chip" aria-pressed=${shown.includes(name)} onClick=${() => flip(name)}>
              ${name}</button></li>`)}</ul></details>`
        : html`<p class="muted">These runs have no statistic in common.</p>`}
    <//>`;
}

/** The metrics of all runs, each run's own curve in its colour: [[metric, {run: curve}], ...]. */
function overlaid(runs) {
  const found = {};
  runs.forEach(({ name, metrics }, i) => byMetric(metrics).forEach(([metric, curve]) => {
    found[metric] = { ...found[metric], [name]: { ...curve, colour: colour(i) } };
  }));
  return Object.entries(found);
}

const Table = ({ label, head, rows }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label=${label}><table class="measured">
    <thead><tr>${head.map((text) => html`<th key=${text} scope="col">${text}</th>`)}</tr></thead>
    <tbody>${rows}</tbody></table></div>`;

const between = ({ low, high }) => (low === null ? "–" : `${number(low)} to ${number(high)}`);

function Measured({ data }) {
  const { metrics = [], tests = [], notes: said = [] } = data.table ?? {};
  const notes = [...new Set([...(data.notes ?? []), ...said])];
  const rows = metrics.map((row) => html`<tr key=${row.metric + row.group}>
    <th scope="row">${row.metric} <span class="muted small">${row.better} is better</span></th>
    <td class="text">${row.group}</td><td>${row.seeds.length}</td><td>${number(row.final.mean, 4)}</td><td>${between(row.final)}</td>
    <td>${row.best ? number(row.best.mean, 4) : "–"}</td><td>${row.best ? between(row.best) : "–"}</td></tr>`);
  const pairs = tests.map(({ metric, of, groups, paired }) => html`<tr key=${metric + of + groups}>
    <th scope="row">${metric}, ${of}</th><td class="text">${groups[0]} minus ${groups[1]}</td><td>${paired.seeds.length}</td>
    <td>${number(paired.difference.mean)}</td><td>${between(paired.difference)}</td><td>${number(paired.p)}</td></tr>`);
  return html`
    <${Card} title="What was measured">
      ${rows.length > 0 && html`<${Table} label="Metrics" rows=${rows}
        head=${["Metric", "Runs", "Seeds", "At the end", "95% interval", "Best", "95% interval of the best"]} />`}
      ${pairs.length > 0 && html`<h3>Differences over the seeds that both have</h3>
        <${Table} label="Differences" rows=${pairs}
        head=${["Metric", "Runs", "Seeds", "Difference", "95% interval", "p"]} />`}
      ${notes.map((note) => html`<p key=${note} class="muted">${note}</p>`)}
      ${!rows.length && !notes.length && html`<p class="muted">Nothing was measured in these runs.</p>`}
    <//>`;
}

function Differences({ groups }) {
  const names = Object.keys(groups[0]?.settings ?? {});
  const shown = (value) => (Array.isArray(value) ? value.join(" ") : value === null || value === "" ? "–" : String(value));
  const rows = names.map((name) => html`<tr key=${name}><th scope="row"><code>${name}</code></th>
    ${groups.map((one) => html`<td key=${one.group}>${shown(one.settings[name])}</td>`)}</tr>`);
  return html`
    <${Card} title="What differs in their recipes">
      ${names.length
        ? html`<${Table} label="Settings" head=${["Setting", ...groups.map((one) => one.runs.join(", "))]} rows=${rows} />`
        : html`<p class="muted">Nothing but the seed.</p>`}
    <//>`;
}
