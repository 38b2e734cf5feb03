// All runs: how each stands, and which to compare.
import { useMemo, useState } from "preact/hooks";
import { Spark } from "./chart.js";
import {
  comparing, duration, Empty, Failure, html, kimg, Loading, number, pageOf, Picture, Progress, State, useAsk,
} from "./parts.js";

const EVERY = 4000; // milliseconds

export function Runs() {
  const { data: runs, error } = useAsk("api/runs", EVERY);
  const [sought, seek] = useState("");
  const [chosen, choose] = useState([]);
  const shown = useMemo(() => {
    const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (run) => [run.name, run.state, run.recipe, run.data, run.finding?.title].join(" ").toLowerCase();
    const found = (runs ?? []).filter((run) => words.every((word) => text(run).includes(word)));
    return found.sort((a, b) => b.live - a.live);
  }, [runs, sought]);
  if (!runs) {
    const waiting = html`<${Loading} what="Reading the runs" />`;
    return html`<h1>Runs</h1>${error ? html`<${Failure}>${error}<//>` : waiting}`;
  }
  if (!runs.length) return html`<h1>Runs</h1><${Failure}>${error}<//><${NoRuns} />`;
  const live = runs.filter((run) => run.live).length;
  const flip = (name) => choose((old) => (old.includes(name) ? old.filter((one) => one !== name) : [...old, name]));
  return html`
    <div class="head-row"><h1>Runs</h1>
      <p class="muted" role="status">${runs.length} in all, ${live ? `${live} in training` : "none in training"}</p>
      ${runs.length > 1 && html`<input type="search" class="seek" aria-label="Show only runs with these words"
        placeholder="Name, recipe, state" value=${sought} onInput=${(event) => seek(event.target.value)} />`}
      <a class="button" href="#/data">New run</a>
    </div>
    <${Failure}>${error}<//>
    ${!shown.length && html`<p class="muted">No run has these words.</p>`}
    <ul class="runs">${shown.map((run) => html`<${RunCard} key=${run.name} run=${run}
      chosen=${chosen.includes(run.name)} onChoose=${() => flip(run.name)} />`)}</ul>
    ${chosen.length > 0 && html`
      <div class="tray" role="region" aria-label="Chosen runs">
        <span>${chosen.length > 1 ? `${chosen.length} runs chosen` : `${chosen[0]}: choose another to compare it with`}</span>
        <button class="quiet" onClick=${() => choose([])}>Clear</button>
        ${chosen.length > 1 && html`
          <a class="button" href=${comparing(chosen)}>Compare</a>`}
      </div>`}`;
}

const NoRuns = () => html`
  <${Empty} title="No runs yet">
    <p>A run appears here as soon as it starts, from this page or from a terminal:</p>
    <pre>gannet train shapes</pre>
    <p><a class="button" href="#/data">Choose images and start one</a></p>
  <//>`;

function RunCard({ run, chosen, onChoose }) {
  const address = pageOf("run", run.name);
  const { live } = run;
  const facts = [run.recipe, run.data, run.resolution && `${run.resolution} px`].filter(Boolean).join(" · ");
  return html`
    <li class="card run-card">
      <a class="thumb" href=${address} tabindex="-1" aria-hidden="true">
        <${Picture} src=${run.grid} alt=${`Samples of ${run.name}`} loading="lazy" /></a>
      <div class="run-body">
        <div class="run-title"><h2><a href=${address}>${run.name}</a></h2>
          <span class="standing"><${State} state=${run.state} />
            ${run.finding && html`<span class="wrong">${run.finding.title}</span>`}</span></div>
        <p class="muted facts">${facts}</p>
        ${run.problem && html`<p class="problem">${run.problem}</p>`}
        ${run.finding && html`<p class="found">Since ${kimg(run.finding.since)} kimg. Try
          ${" "}<code>${run.finding.change}</code></p>`}
        ${live && html`<${Progress} kimg=${run.kimg} total=${run.total_kimg} />`}
        <dl class="numbers">
          <div><dt>kimg</dt><dd>${kimg(run.kimg)}
            ${run.total_kimg && html`<span class="muted"> / ${kimg(run.total_kimg)}</span>`}</dd></div>
          <div><dt>${live ? "left" : "took"}</dt><dd>${duration(live ? run.seconds_left : run.seconds)}</dd></div>
          ${run.metric && html`<div><dt>best ${run.metric.metric}</dt><dd>${number(run.metric.value)}</dd></div>`}
          ${run.spark.length > 1 && html`<div class="grow"><dt>G's loss</dt>
            <dd><${Spark} values=${run.spark} label="G's loss over the run" /></dd></div>`}
        </dl>
      </div>
      <label class="pick"><input type="checkbox" checked=${chosen} onChange=${onChoose}
        aria-label=${`Compare ${run.name}`} /><span aria-hidden="true">Compare</span></label>
    </li>`;
}
