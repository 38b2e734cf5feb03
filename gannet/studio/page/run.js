// One run in training: what is wrong, its curves, its samples, its recipe.
import { useMemo, useState } from "preact/hooks";
import { byMetric, Chart } from "./chart.js";
import { formOf } from "./data.js";
import { Grids } from "./grids.js";
import { useRun } from "./live.js";
import {
  ask, Card, Choice, duration, Failure, html, kimg, Loading, number, ofRun, pageOf, percent, Progress, RunTabs, State, useAct,
} from "./parts.js";

const PANELS = [
  { title: "Losses", take: /^loss [DG]/ },
  { title: "What D says", take: /^D\(/, fixed: [-0.02, 1.02] },
  { title: "D's logits", take: /^logit / },
  { title: "Accuracy", take: /accuracy/, fixed: [-0.02, 1.02] },
  { title: "Gradient norms", take: /^grad norm /, log: true },
];
const SPANS = [["all", "All"], ["half", "Last half"], ["tenth", "Last tenth"]];

export function Run({ name }) {
  const [zoom, setZoom] = useState(null);
  const { run, error, curves, gone, heard, again } = useRun(name, zoom);
  if (!run) {
    return html`<h1>${name}</h1>${error
      ? html`<${Failure}>${error}<//><p><a href="#/">All runs</a></p>`
      : html`<${Loading} what="Reading the run" />`}`;
  }
  if (run.state === "failed") {
    return html`<div class="head-row run-head"><h1>${name}</h1><${State} state="failed" /></div>
      <p class="problem" role="alert">${run.problem}</p>
      <p>It did not begin, and left nothing behind. <a href=${formOf(name)}>New run</a></p>`;
  }
  return html`
    <${Head} name=${name} run=${run} again=${again} />
    <p class="sr-only" role="status">${heard}</p>
    <${Failure}>${gone ?? error}<//>
    ${run.problem && !gone && html`<p class="problem">${run.problem}</p>`}
    <${Findings} name=${name} run=${run} />
    <${Curves} run=${run} curves=${curves} zoom=${zoom} setZoom=${setZoom} />
    <${Grids} grids=${run.grids} real=${run.real} />
    <${Recipe} run=${run} />`;
}

function Head({ name, run, again }) {
  const { live } = run;
  const wrong = run.diagnosis?.findings.find(({ until }) => until === null);
  const [act, { busy, error }] = useAct(async (verb, asked = {}) => {
    await ask(ofRun(name, `/${verb}`), asked);
    await again();
  });
  const left = live && run.seconds_left !== null ? `, ${duration(run.seconds_left)} left` : "";
  const of = run.total_kimg ? ` of ${kimg(run.total_kimg)}` : "";
  return html`
    <div class="head-row run-head">
      <h1>${name}</h1><${State} state=${run.state} />${wrong && html`<span class="wrong">${wrong.title}</span>`}
      <span class="muted">${kimg(run.kimg)}${of} kimg${left}</span>
      ${run.state !== "gone" && html`<span class="actions">
        ${live && html`<button disabled=${busy} onClick=${() => act("stop")}
          title="Everything is saved; the run can go on later">Stop</button>`}
        ${!live && run.at_end && html`<${Longer} run=${run} busy=${busy} go=${(end) => act("resume", { kimg: end })} />`}
        ${!live && !run.at_end && run.state !== "starting" && html`<button disabled=${busy} onClick=${() => act("resume")}
          title="Goes on exactly where it stopped">${run.diagnosis?.verdict === "failed" ? "Resume all the same" : "Resume"}</button>`}
      </span>`}
    </div>
    ${live && html`<${Progress} kimg=${run.kimg} total=${run.total_kimg} />`}
    <${Failure}>${error}<//>
    <${RunTabs} name=${name} page="run" />`;
}

/** A new end for a run that has come to its own: twice as long, if nothing else is said. */
function Longer({ run, busy, go }) {
  const [end, setEnd] = useState(null);
  const value = end ?? String(2 * run.total_kimg);
  return html`<form class="row longer" onSubmit=${(event) => {
    event.preventDefault();
    go(Number(value));
  }}>
    <label for="end">Go on until</label>
    <input id="end" type="number" min=${run.kimg} step="any" required value=${value}
      onInput=${(event) => setEnd(event.target.value)} /><span>kimg</span>
    <button disabled=${busy}>Go on longer</button>
  </form>`;
}

function Findings({ name, run }) {
  const findings = run.diagnosis?.findings ?? [];
  if (!findings.length) {
    return run.statistics.length
      ? html`<p class="fine"><span class="dot" aria-hidden="true"></span>Nothing is wrong, as far as the curves tell.</p>`
      : null;
  }
  return html`<div class="findings" role="region" aria-label="Findings">${findings.map((finding) => html`
    <${Finding} key=${finding.finding} name=${name} finding=${finding} again=${run.again} />`)}</div>`;
}

/** `again`: the command that begins the run anew, where this studio cannot. */
function Finding({ name, finding, again }) {
  const { settings } = finding;
  const [start, { busy, error }] = useAct(async () => {
    const begun = await ask(ofRun(name, "/again"), { settings });
    location.hash = pageOf("run", begun.name);
  });
  const until = finding.until === null ? "" : ` until ${kimg(finding.until)} kimg`;
  const side = ({ value, threshold }) => (value > threshold ? "above" : value === threshold ? "at" : "below");
  return html`
    <section class=${`card finding ${finding.until === null ? "" : "over"}`} aria-label=${finding.title}>
      <h2>${finding.title}</h2>
      <p class="meaning">${finding.meaning} <span class="muted">Since ${kimg(finding.since)} kimg${until}, confidence
        ${" "}${percent(finding.confidence)}.</span></p>
      <table class="evidence"><caption class="sr-only">Evidence</caption>
        <tbody>${finding.evidence.map((one) => html`<tr key=${one.statistic}>
          <th scope="row">${one.meaning}</th><td>${number(one.value)}</td>
          <td class="muted">${side(one)} ${number(one.threshold)}</td></tr>`)}</tbody></table>
      <div class="change">
        <div><p>Change one thing: <code>${finding.change}</code></p>
          <p class="muted small">${finding.why} (${finding.source})</p></div>
        ${settings && (again
          ? html`<p class="small">Start again with this change: <code>${again} ${finding.change}</code></p>`
          : html`<button class="button" disabled=${busy} onClick=${start}>
              ${busy ? "Starting …" : "Start again with this change"}</button>`)}
      </div>
      <${Failure}>${error}<//>
    </section>`;
}

function Curves({ run, curves, zoom, setZoom }) {
  const [span, setSpan] = useState("all");
  const [more, setMore] = useState(false);
  const end = Math.max(run.kimg ?? 0, curves?.kimg.at(-1) ?? 0, 1e-3);
  const domain = zoom ?? [0, end];
  const bands = useMemo(
    () => (run.diagnosis?.findings ?? []).map(({ since, until, title }) => ({ since, until, title })),
    [run.diagnosis],
  );
  const { panels, others } = useMemo(() => grouped(curves), [curves]);
  const measured = useMemo(() => byMetric(run.metrics), [run.metrics]);
  if (!run.statistics.length) {
    return html`<${Card} title="Curves"><p class="muted">${run.state === "starting"
      ? "The run is starting: the first numbers come in a moment."
      : "This run has no statistics."}</p><//>`;
  }
  if (!curves) return html`<${Card} title="Curves"><${Loading} what="Reading the statistics" /><//>`;
  const show = (key) => {
    setSpan(key);
    setZoom(key === "all" ? null : [end * (key === "half" ? 0.5 : 0.9), end]);
  };
  const onZoom = (range) => {
    setSpan(range ? null : "all");
    setZoom(range);
  };
  const chart = ({ title, series, ...style }) => html`
    <${Chart} key=${title} title=${title} kimg=${curves.kimg} curves=${series} bands=${bands} domain=${domain}
      onZoom=${onZoom} ...${style} />`;
  return html`
    <${Card} title="Curves" aside=${html`<${Choice} label="Time shown" options=${SPANS} value=${span} onChoose=${show} />`}>
      <div class="charts">
        ${panels.map(chart)}
        ${measured.map(([metric, series]) => chart({ title: metric, series: { [metric]: series } }))}
      </div>
      <p class="muted small">Over kimg, thousands of real images that D has seen. Drag over a chart to zoom, double-click for all.
        ${bands.length > 0 && " Shaded: where something goes wrong."}</p>
      ${others.length > 0 && html`
        <details onToggle=${(event) => setMore(event.target.open)}><summary>${others.length} more statistics</summary>
          ${more && html`<div class="charts">${others.map(chart)}</div>`}</details>`}
    <//>`;
}

function grouped(curves) {
  const names = Object.keys(curves?.series ?? {});
  const pick = (chosen) => Object.fromEntries(chosen.map((name) => [name, curves.series[name]]));
  const panels = PANELS.map(({ take, ...panel }) => ({ ...panel, names: names.filter((name) => take.test(name)) }))
    .filter((panel) => panel.names.length);
  const taken = new Set(panels.flatMap((panel) => panel.names));
  return {
    panels: panels.map(({ names: chosen, ...panel }) => ({ ...panel, series: pick(chosen) })),
    others: names.filter((name) => !taken.has(name)).map((name) => ({ title: name, series: pick([name]) })),
  };
}

function Recipe({ run }) {
  const [sought, seek] = useState("");
  const settings = Object.entries(run.recipe).filter(([name]) => name.includes(sought.toLowerCase()));
  const shown = (value) => (Array.isArray(value) ? value.join(" ") : value === "" ? "–" : String(value));
  return html`
    <${Card} title="Recipe and history">
      ${run.history.length > 0 && html`<ol class="history">${run.history.map((line, i) => html`
        <li key=${i}><span class="when">${kimg(line.kimg)} kimg</span> ${told(line)}</li>`)}</ol>`}
      <details><summary>${Object.keys(run.recipe).length} settings</summary>
        <input type="search" class="seek" placeholder="Name of a setting" aria-label="Show only settings with these letters"
          value=${sought} onInput=${(event) => seek(event.target.value)} />
        <table class="settings"><caption class="sr-only">Settings of the recipe</caption>
          <tbody>${settings.map(([name, value]) => html`
            <tr key=${name}><th scope="row">${name}</th><td>${shown(value)}</td></tr>`)}</tbody>
        </table></details>
      <details><summary>recipe.toml</summary><pre tabindex="0">${run.recipe_toml}</pre></details>
    <//>`;
}

function told({ type, kimg: time, event, settings = {}, ...details }) {
  const rest = Object.entries(details).map(([name, value]) => `${name.replaceAll("_", " ")} ${
    value !== null && typeof value === "object" ? JSON.stringify(value) : value}`);
  return [event, ...dotted(settings), ...rest].join(", ");
}

/** {"optim": {"D": {"lr": 1}}} as ["optim.D.lr 1"]. */
const dotted = (table, place = "") => Object.entries(table ?? {}).flatMap(([name, value]) =>
  value !== null && typeof value === "object" && !Array.isArray(value)
    ? dotted(value, `${place}${name}.`)
    : [`${place}${name} ${[value].flat().join(" ")}`]);
